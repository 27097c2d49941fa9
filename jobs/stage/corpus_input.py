"""Open what stage `corpus` wrote: the documents, the benchmarks kept out of them, and the reports of the sources."""

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
    """Open the documents, after every file was compared with its digest. Raises StageError."""
    with usable(artifact, CorpusError):
        return Corpus(artifact.uri, recorded(artifact))


def open_benchmark(artifact: Artifact) -> Benchmark:
    """Open the benchmarks that were kept out of the documents, if there are any. Raises StageError."""
    with usable(artifact):
        if BENCHMARK in artifact.manifest["outputs"]:
            verify(f"{artifact.uri}/{BENCHMARK}", recorded(artifact)[BENCHMARK])
        return read_benchmark(artifact.uri)


def source_reports(artifact: Artifact) -> list[dict[str, Any]]:
    """The report of each source; an empty list if the corpus has no report.json."""
    try:
        with fsspec.open(f"{artifact.uri}/report.json", "rb") as file:
            return json.load(file)["sources"]
    except FileNotFoundError:
        return []
