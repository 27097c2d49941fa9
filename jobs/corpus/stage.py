"""Stage `corpus` cleans its sources into documents with source, licence, language and split, and reports what was lost.

Ray tasks make these passes. The first cleans each piece of a source into a file of its own, with tags. In the second,
one task goes through all documents in order: the policy decides by their tags, and of what is left, it finds those
that repeat an earlier one. Two passes choose what is held out: one task lists the documents that may be, then all
clean files are searched for words in common with them. The last pass writes the remaining documents, one file per
piece. So the bytes do not depend on the number of workers. A result counts once its report lies beside it, and a
retried stage keeps the results that count. The clean files stay in a hidden folder of the artifact: a later corpus
with another policy, or with one source more, takes them from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import fsspec
import numpy as np

from jobs.configs.texts import CorpusConfig
from jobs.corpus.cleaning import clean_piece
from jobs.corpus.held_out import Clean, Splits, candidates, choose, documents_with
from jobs.corpus.judging import find_repeated, rows_of_file_within
from jobs.corpus.plan import CLEAN, CorpusPlan, plan, read_benchmarks
from jobs.corpus.report import PieceReport, attribution, nothing_from, source_report, totals, write_quarantine
from jobs.corpus.writing import WriteTask, write_documents
from jobs.stage.context import Restart, StageContext, StageError
from jobs.stage.substitutes import substitutions
from jobs.stage.tasks import Call, run_tasks
from tokenization.cleaning.benchmark import Benchmark, write_benchmark
from tokenization.files.storage import remove_leftovers, write, write_json
from tokenization.records import LANGUAGES
from tokenization.sources.source import Source, SourceError

_MOSTLY_FOREIGN = 0.5
_FOREIGN = ("english", "polish", "foreign")


def build_corpus(ctx: StageContext, config: CorpusConfig) -> dict[str, float | str]:
    """Write documents-*.parquet, tags-*.parquet, ATTRIBUTION.md, report.json and quarantine.jsonl below
    `ctx.output_uri`, and benchmark.parquet if benchmarks are configured.

    Bad input is left out and listed. If a file vanishes while the stage runs, the stage keeps what it has read and
    names the file. Raises StageError for a source that gives nothing, unless it is optional, and for an empty corpus.
    """
    began = time.monotonic()
    for line in substitutions("corpus", ("py3langid", "rensa"), config.without):
        ctx.reporter.message(line)
    try:
        benchmark = read_benchmarks(config)
    except SourceError as error:
        raise StageError(str(error)) from error
    planned = plan(ctx, config, benchmark)
    pieces = _clean(ctx, planned, benchmark)
    written = _write(ctx, config, pieces)
    there = [source for source in config.sources if source.name not in planned.missing]
    sources = [
        source_report(
            source, [piece for piece in written if piece.task.source == source], planned.left_out[source.name]
        )
        for source in there
    ]
    total = totals(sources)
    if not any(total["bytes"].values()):
        raise StageError("the corpus is empty: no source gave any text of corpus.min_characters or more")
    missing = [source.name for source in config.sources if source.name in planned.missing]
    write_json(f"{ctx.output_uri}/report.json", {**total, "sources": sources, "missing": missing})
    write(f"{ctx.output_uri}/ATTRIBUTION.md", attribution(sources).encode())
    if config.benchmarks:
        write_benchmark(ctx.output_uri, benchmark)
    write_quarantine(f"{ctx.output_uri}/quarantine.jsonl", [piece.task for piece in pieces])
    _clear(ctx.output_uri, written)
    result = [f"{language} {total['bytes'][language] / 1e6:.1f} MB" for language in LANGUAGES]
    if missing:
        result.append(f"without {', '.join(missing)}")
        ctx.reporter.message(
            f"the corpus is complete without {', '.join(missing)}; once they can be fetched", Restart()
        )
    _say(ctx, sources)
    _say_held_out(ctx, config, total["splits"])
    return {
        "result": ", ".join(result),
        "documents": sum(total["documents"].values()),
        "quarantined": sum(sum(source["quarantined"].values()) for source in sources),
        **{f"bytes_{language}": size for language, size in total["bytes"].items()},
        "build_seconds": round(time.monotonic() - began, 2),
    }


def _clean(ctx: StageContext, planned: CorpusPlan, benchmark: Benchmark) -> list[PieceReport]:
    """Clean the pieces; return those that go on, in order. A source with `max_bytes` needs only its first pieces.

    A source that gives nothing stops the stage, unless it is optional. The quarantine is written first.
    """
    tasks = planned.tasks
    mine: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        mine.setdefault(task.source.name, []).append(number)
    reports: dict[int, dict[str, Any]] = {}

    def calls() -> Iterator[Call]:
        for number, task in enumerate(tasks):
            if not _taken(task.source, mine[task.source.name], reports)[1]:
                yield number, (task, planned.packages.get(task.source.name, b""))

    for number, report in _run(ctx, clean_piece, calls(), benchmark):
        reports[number] = report
        source = tasks[number].source
        taken, enough = _taken(source, mine[source.name], reports)
        if enough and (why := nothing_from(tasks[number], [reports[n] for n, _ in taken])):
            if not source.optional:
                write_quarantine(f"{ctx.output_uri}/quarantine.jsonl", [tasks[n] for n in sorted(reports)])
                raise StageError(why)
            ctx.reporter.message(f"the corpus is built without {source.name}: {why}")
            planned.missing[source.name] = why
        note = f"{source.name} {report['judged']['bytes'] / 1e6:.1f} MB"
        ctx.reporter.progress(len(reports), 2 * len(tasks), note)
    pieces = []
    for numbers in mine.values():
        for number, left in _taken(tasks[numbers[0]].source, numbers, reports)[0]:
            task, report = tasks[number], reports[number]
            rows = rows_of_file_within(f"{task.url}.parquet", task.policy, left) if left else report["judged"]["rows"]
            pieces.append(PieceReport(task, report, rows))
    return pieces


def _taken(
    source: Source, numbers: Iterable[int], reports: Mapping[int, Mapping[str, Any]]
) -> tuple[list[tuple[int, int | None]], bool]:
    """The source's first pieces up to the first without a report, and whether they are enough.

    Each comes with the number of bytes to take from it, or None for all of it.
    """
    left, taken = source.max_bytes, []
    for number in numbers:
        if number not in reports:
            return taken, False
        size, cut = (reports[number]["judged"][name] for name in ("bytes", "cut"))
        taken.append((number, left if left is not None and size > left else None))
        if left is not None:
            left -= size
            if cut or left <= 0:
                return taken, True
    return taken, True


def _write(ctx: StageContext, config: CorpusConfig, pieces: Sequence[PieceReport]) -> list[PieceReport]:
    """Write the documents of all pieces, except what the policy leaves out and what repeats an earlier one."""
    policies = {piece.task.source.name: piece.task.policy for piece in pieces}
    searches = [(f"{piece.task.url}.parquet", piece.rows, policies[piece.task.source.name]) for piece in pieces]
    [(_, decided)] = _run(ctx, find_repeated, [(0, (searches, config.near_duplicates))])
    files = [
        Clean(url, piece.task.source.name, piece.task.source.language, fate)
        for piece, (url, _, _), (fate, _) in zip(pieces, searches, decided, strict=True)
    ]
    splits = _splits(ctx, config, files)

    def calls() -> Iterator[Call]:
        for number, (piece, (url, _, policy)) in enumerate(zip(pieces, searches, strict=True)):
            documents, tags = (f"{ctx.output_uri}/{what}-{number:05d}.parquet" for what in ("documents", "tags"))
            record = f"{ctx.output_uri}/{CLEAN}/documents-{number:05d}.json"
            task = WriteTask(piece.task.source, policy, url, piece.cleaned["sha256"], documents, tags, record)
            yield number, (task, *decided[number], splits[number])

    written: dict[int, dict[str, Any]] = {}
    for number, report in _run(ctx, write_documents, calls()):
        written[number] = report
        ctx.reporter.progress(len(pieces) + len(written), 2 * len(pieces), f"documents-{number:05d}")
    return [replace(piece, written=written[number]) for number, piece in enumerate(pieces)]


def _splits(ctx: StageContext, config: CorpusConfig, files: Sequence[Clean]) -> Splits:
    """Choose the split of each document."""
    [(_, found)] = _run(ctx, candidates, [(0, (files, config))])
    ngrams = np.unique(
        np.concatenate([np.empty(0, np.uint64), *(one.ngrams for each in found for one in each.documents)])
    )
    documents = np.zeros(len(ngrams), np.int64)
    if len(ngrams):
        calls = ((number, (file, config.benchmark_words)) for number, file in enumerate(files))
        for _, (places, times) in _run(ctx, documents_with, calls, ngrams):
            documents[places] += times
    return choose(files, found, ngrams[documents > 1], config)


def _run(
    ctx: StageContext, function: Callable[..., Any], calls: Iterable[Call], *shared: Any
) -> Iterator[tuple[int, Any]]:
    return run_tasks(ctx, function, calls, "the corpus", at_once=ctx.execution.data.parallelism, shared=shared)


def _clear(uri: str, pieces: Sequence[PieceReport]) -> None:
    """Delete what an interrupted attempt left and this one did not make: files of documents and tags, and clean
    pieces."""
    fs, folder = fsspec.url_to_fs(uri)
    ours = {f"{what}-{number:05d}.parquet" for what in ("documents", "tags") for number in range(len(pieces))}
    ours |= {f"documents-{number:05d}.json" for number in range(len(pieces))}
    ours |= {f"{piece.task.name}.{ending}" for piece in pieces for ending in ("parquet", "jsonl", "json")}
    for path in (*fs.glob(f"{folder}/documents-*"), *fs.glob(f"{folder}/tags-*"), *fs.find(f"{folder}/{CLEAN}")):
        if path.rsplit("/", 1)[-1] not in ours:
            fs.rm_file(path)
    remove_leftovers(uri)


def _say_held_out(ctx: StageContext, config: CorpusConfig, splits: Mapping[str, Mapping[str, int]]) -> None:
    """Tell the user where fewer documents are held out than are wanted."""
    fractions = {"validation": config.validation_fraction, "test": config.test_fraction}
    short = [
        f"{language} {split} {counts[split]:,}"
        for language, counts in splits.items()
        for split, fraction in fractions.items()
        if fraction and counts[split] < config.least_held_out and sum(counts.values())
    ]
    if short:
        ctx.reporter.message(
            f"fewer than least_held_out = {config.least_held_out} documents are held out: {', '.join(short)}; the "
            f"sources have too few documents that share no {config.benchmark_words} words in a row with another; "
            "add sources, or set corpus.least_held_out lower"
        )


def _say(ctx: StageContext, sources: Sequence[Mapping[str, Any]]) -> None:
    """Tell the user about foreign, empty, damaged and vanished sources, one line each."""
    for report in sources:
        source = report["identity"]["source"]
        foreign = sum(report["removed"].get(reason, {"bytes": 0})["bytes"] for reason in _FOREIGN)
        if report["bytes_read"] and foreign > _MOSTLY_FOREIGN * report["bytes_read"]:
            share = foreign / report["bytes_read"]
            ctx.reporter.message(
                f"{share:.0%} of {source['name']} is not {source['language']}: consider leaving it out"
            )
        if not report["documents"]:
            ctx.reporter.message(f"{source['name']} gave no document; report.json of the corpus says what was removed")
        if others := {kind: count for kind, count in report["files"].items() if " in " in kind}:
            counts = ", ".join(f"{count:,} of {kind}" for kind, count in others.items())
            ctx.reporter.message(f"{source['name']}: {counts} among {sum(report['files'].values()):,} files")
        if lost := report["quarantined"]:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in lost.items())
            ctx.reporter.message(f"{source['name']}: {counts}; see quarantine.jsonl of the corpus")
        if gone := report["gone"]:
            ctx.reporter.message(f"{source['name']}: {', '.join(gone)} vanished while it was read; what had been read "
                                 "is kept. Once it is back", Restart())  # fmt: skip
