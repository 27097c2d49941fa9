"""Which shards a resumed job takes as finished, and what it says if a disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ray.exceptions import WorkerCrashedError

from jobs.shards.dialogue_manifest import ConversationShard
from jobs.shards.job import Finished, run_manifest
from jobs.stage.context import StageError
from jobs.stage.tasks import failure
from tests.support.shard_data import shard_context
from tokenization.shards.writer import write_shard

GONE = 99  # a row that is lost


def shard(name: str, *rows: int) -> ConversationShard:
    return ConversationShard(f"{name}.arrow", "train", 0, 0, rows)


def written(uri: Path, *shards: ConversationShard) -> list[str]:
    """Write the shards of a job over these lines."""

    def write(shard: ConversationShard) -> Finished:
        row = {"input_ids": list(shard.rows), "document_starts": [0], "language": 0}
        record = write_shard(f"{uri}/{shard.file}", "text", [row])
        return Finished((record,), {"gone": ["a file"]} if GONE in shard.rows else {})

    before = {path: path.stat().st_mtime_ns for path in uri.glob("*.arrow")}
    done, _ = run_manifest(shard_context(uri, ""), shards, write)
    assert [one.files[0].tokens for one in done] == [len(shard.rows) for shard in shards]
    return sorted(path.stem for path in uri.glob("*.arrow") if before.get(path) != path.stat().st_mtime_ns)


def test_a_shard_that_is_dealt_otherwise_or_lost_something_is_written_again(ray_session, tmp_path):
    one, two, lossy = shard("one", 1, 2), shard("two", 3), shard("lossy", 4, GONE)
    assert written(tmp_path, one, two, lossy) == ["lossy", "one", "two"]
    assert written(tmp_path, one, two, lossy) == ["lossy"]
    assert written(tmp_path, shard("one", 1, 2, 3), two) == ["one"]
    assert written(tmp_path, shard("one", 1, 2, 3), two) == []
    (tmp_path / "done" / ".two.arrow.line").unlink()
    assert written(tmp_path, two) == ["two"]


def test_a_full_disk_says_what_to_do(ray_session, tmp_path):
    def write(shard: ConversationShard) -> Finished:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), shard.file)

    with pytest.raises(StageError, match=f"no space is left for shards at {tmp_path}: .*one.arrow.*make room"):
        run_manifest(shard_context(tmp_path, ""), [shard("one", 1)], write)


def test_a_worker_that_dies_is_an_error_of_the_stage():
    assert "a worker that made shards at x died again and again" in str(failure(WorkerCrashedError(), "shards", "x"))
