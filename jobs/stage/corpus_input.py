"""Open the corpus that stage `corpus` left: documents, what was kept out of them, and what it tells of its sources."""

from __future__ import annotations

import json
from typing import Any

import fsspec

from jobs.stage.context import Artifact
from jobs.stage.inputs import recorded, usable
from tokenization.cleaning.benchmark import FILE as BENCHMARK
from tokenization.cleaning.benchmark import Benchmark, read_benchmark
from tokenization.documents import Corpus, CorpusError
from tokenization.files.integrity import verify


def open_corpus(artifact: Artifact) -> Corpus:
    """Its documents, every file compared with its digest. Raises StageError."""
    with usable(artifact, CorpusError):
        return Corpus(artifact.uri, recorded(artifact))


def open_benchmark(artifact: Artifact) -> Benchmark:
    """What was kept out of the documents, if anything. Raises StageError."""
    with usable(artifact):
        if BENCHMARK in artifact.manifest["outputs"]:
            verify(f"{artifact.uri}/{BENCHMARK}", recorded(artifact)[BENCHMARK])
        return read_benchmark(artifact.uri)


def source_reports(artifact: Artifact) -> list[dict[str, Any]]:
    """What its report tells of each source; nothing where it has no report."""
    try:
        with fsspec.open(f"{artifact.uri}/report.json", "rb") as file:
            return json.load(file)["sources"]
    except FileNotFoundError:
        return []
