"""Write the shards of a manifest with a Ray Data job that can be resumed.

A shard is recorded when its files are finished. It is written again if its line of the manifest has changed, or if a
file no longer has the recorded digest. No text goes through Ray: each task reads its own rows and writes its own files.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import fsspec

from jobs.stage.context import Interrupted, Rerun, StageContext, StageError
from jobs.stage.ray_setup import ensure_ray
from jobs.stage.tasks import failure, told
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.files.integrity import DamagedFile, sha256_of
from tokenization.files.storage import publish, remove_leftovers, write_json
from tokenization.files.threads import map_threads
from tokenization.records import SPLITS
from tokenization.shards.index import ShardIndex, ShardRecord, write_index
from tokenization.shards.schema import Kind

Report = dict[str, Any]  # a shard's trees of counts, which add up over shards

CARD = "data_card"  # the folder of a run's data cards
SECONDS_WITHOUT_PROGRESS = 300


class Named(Protocol):
    """A line of a manifest. It is a dataclass whose `repr` shows everything that the shard depends on."""

    @property
    def name(self) -> str:
        """The name of the shard, unique in its manifest."""
        ...


@dataclass(frozen=True)
class Finished:
    """The files of a finished shard and the report about them.

    If the report has `gone`, names of files that vanished while they were read, a resumed stage writes the shard again.
    `slow` says why the process encoded without the fast engine, if it did. It is not recorded, since the files are the
    same.
    """

    files: tuple[ShardRecord, ...]
    report: Report = field(default_factory=dict)
    slow: str = ""


@dataclass
class Speed:
    """Sums over the tasks of this run: seconds, CPU seconds of their processes, tokens written, and shards encoded
    without the fast engine."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0
    slow_shards: int = 0

    @property
    def sentence(self) -> str:
        """A sentence that says how fast the shards were written."""
        if not self.cpu_seconds:
            return "All shards were finished before."
        slow = f" Shards encoded without the fast engine: {self.slow_shards}." if self.slow_shards else ""
        return (
            f"{self.tokens:,} tokens were written in {self.seconds:.1f} s and {self.cpu_seconds:.1f} CPU seconds of "
            f"all tasks together: {self.tokens / self.cpu_seconds:,.0f} tokens a CPU second.{slow}"
        )


Write = Callable[[Any], Finished]


def run_manifest(ctx: StageContext, shards: Sequence[Named], write: Write) -> tuple[list[Finished], Speed]:
    """Write all shards that are not finished yet; return the results of all, in their order, and the speed.

    `write` is sent to the workers. It gets one shard at a time and must write the same files on every call. Raises
    Interrupted after the shard during which the user asked to stop, and StageError if a worker fails.
    """
    earlier = map_threads(functools.partial(_finished, ctx.output_uri), shards)
    done = {shard.name: found for shard, found in zip(shards, earlier, strict=True) if found}
    missing = [shard for shard in shards if shard.name not in done]
    if done:
        kept = f"{len(done)} of {len(shards)} shards were finished before"
        ctx.reporter.message(f"resumed at step {len(done)}: {kept}")
    speed = Speed()
    for name, found, spent in _write_all(ctx, missing, write):
        done[name] = found
        tokens = sum(record.tokens for record in found.files)
        speed.seconds += spent["seconds"]
        speed.cpu_seconds += spent["cpu_seconds"]
        speed.tokens += tokens
        if found.slow and not speed.slow_shards:
            ctx.reporter.message(f"{name}: in its worker, {found.slow}")
        speed.slow_shards += bool(found.slow)
        ctx.reporter.progress(len(done), len(shards), f"{name} {tokens:,} tokens")
        if ctx.should_stop():
            raise Interrupted(f"{len(done)} of {len(shards)} shards are finished")
    remove_leftovers(ctx.output_uri)
    return [done[shard.name] for shard in shards], speed


def total(reports: Iterable[Report], parts: Sequence[str]) -> Report:
    """One report with the sums of these `parts` of all reports."""
    whole: Report = {part: {} for part in parts}
    for report in reports:
        whole = added(whole, {part: report[part] for part in parts})
    return whole


def added(one: Any, other: Any) -> Any:
    """The sum of two trees of numbers, place by place."""
    if isinstance(one, Mapping):
        return {key: added(one[key], other[key]) if key in one and key in other else (one | other)[key]
                for key in one | other}  # fmt: skip
    return [a + b for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other


def write_shard_index(
    ctx: StageContext, kind: Kind, length: int, tokenizer: Tokenizer, done: Sequence[Finished]
) -> ShardIndex:
    """Write index.json, which lists the files of all shards by split, and return the index."""
    files = sorted((record for one in done for record in one.files), key=lambda record: SPLITS.index(record.split))
    index = ShardIndex(kind, length, tokenizer.digest, tokenizer.vocab_size, tuple(files))
    write_index(ctx.output_uri, index)
    return index


def shard_metrics(index: ShardIndex, speed: Speed, result: str) -> dict[str, Any]:
    """Metrics of a stage: rows and tokens of each split, and the short `result` for the status table."""
    counts = {f"rows/{split}": index.rows(split) for split in SPLITS}
    counts |= {f"tokens/{split}": index.tokens(split) for split in SPLITS}
    return counts | {"slow_shards": speed.slow_shards, "result": result}


def _finished(uri: str, shard: Named) -> Finished | None:
    """The record of a finished shard, if it was made from the same manifest line, nothing had vanished, and its files
    have the recorded digests. That the files exist proves nothing."""
    try:
        with fsspec.open(_line_url(uri, shard.name), "rb") as file:
            same = file.read() == _line_digest(shard)
        with fsspec.open(_record_url(uri, shard.name), "rb") as file:
            found = _loaded(json.load(file))
        same = same and all(sha256_of(f"{uri}/{record.file}") == record.sha256 for record in found.files)
    except (FileNotFoundError, ValueError):  # ValueError: the record is not JSON
        return None
    return found if same and not found.report.get("gone") else None


def _loaded(content: dict[str, Any]) -> Finished:
    return Finished(tuple(ShardRecord(**record) for record in content["files"]), content["report"])


def _write_all(
    ctx: StageContext, shards: Sequence[Named], write: Write
) -> Iterator[tuple[str, Finished, dict[str, float]]]:
    """Write the shards; yield name, result and time of each, in the order they finish."""
    if not shards:
        return
    ensure_ray(ctx.execution)
    import ray.data  # after ensure_ray, which sets what Ray reads on import
    from ray.exceptions import RayError

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = SECONDS_WITHOUT_PROGRESS
    _quieten(logging.getLogger("ray.data"))
    # Items give one block per shard. Ray Data's file readers ignore block counts and can hang on a busy machine.
    numbers = ray.data.from_items([{"shard": n} for n in range(len(shards))], override_num_blocks=len(shards))
    task = functools.partial(_write_one, uri=ctx.output_uri, shards=shards, write=write)
    workers = ray.data.TaskPoolStrategy(size=ctx.execution.data.parallelism)
    try:
        for row in numbers.map_batches(task, batch_size=1, compute=workers).iter_rows():
            if row["failure"]:
                raise StageError(row["failure"], Rerun("corpus") if row["damaged"] else "")
            found = replace(_loaded(json.loads(row["record"])), slow=row["slow"])
            yield row["name"], found, {name: row[name] for name in ("seconds", "cpu_seconds")}
    except RayError as error:
        raise failure(error, "shards", ctx.output_uri) from error


def _write_one(batch: dict[str, Any], uri: str, shards: Sequence[Named], write: Write) -> dict[str, list]:
    """The task: write the files of one shard, then the digest of its manifest line, then its record."""
    shard = shards[int(batch["shard"][0])]
    began, cpu_began = time.perf_counter(), time.process_time()
    record, slow, reason, damaged = {}, "", "", False
    try:
        record = asdict(write(shard))
        slow = record.pop("slow")
        publish(_line_url(uri, shard.name), lambda file: file.write(_line_digest(shard)))
        write_json(_record_url(uri, shard.name), record)
    except Exception as error:  # Ray Data would pass on only its text, at the end of a traceback
        reason, damaged = told(error, "shards", uri), isinstance(error, DamagedFile)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu_began}
    row = {"name": shard.name, "record": json.dumps(record), "slow": slow, "failure": reason, "damaged": damaged}
    row |= spent
    return {name: [value] for name, value in row.items()}


def _quieten(logger: logging.Logger) -> None:
    """Keep Ray Data's messages off the console; its log file still has them."""
    for handler in logger.handlers:
        if handler.name == "console":
            handler.setLevel(logging.CRITICAL)


def _record_url(uri: str, name: str) -> str:
    return f"{uri}/done/{name}.json"


def _line_url(uri: str, name: str) -> str:
    """The file is hidden because it depends on where the inputs lie, so it is not part of the result."""
    return f"{uri}/done/.{name}.line"


def _line_digest(shard: Named) -> bytes:
    return hashlib.sha256(repr(shard).encode()).hexdigest().encode()
