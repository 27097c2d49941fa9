"""Checkpoints of a training stage: written while it trains on, whole or not at all; damaged ones are left behind."""

import json
import os
import resource
import shutil
import threading

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint import CheckpointException, FileSystemWriter

from jobs.stage.context import Restart, StageError
from jobs.training.checkpoints import RECORD, SNAPSHOT, keep_newest, recorded, resume_point, step_folder
from tests.support.ranks import on_ranks
from tests.support.training_toys import Run, stopping_at


def interpose(monkeypatch, method, step, before):
    """Call `before` at the start of a method of DCP's writer, on its thread, for the checkpoint of one step."""
    original = getattr(FileSystemWriter, method)

    def interposed(self, *arguments, **options):
        if self.path.name == step_folder(step):
            before()
        return original(self, *arguments, **options)

    monkeypatch.setattr(FileSystemWriter, method, interposed)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.weights(), other.weights(), strict=True))


def goes_on(folder, step, calm):
    """Check that training goes on from the checkpoint of `step`, and ends as the one that nothing disturbed."""
    again = Run(folder, 6, world_size=2, shard="root")
    again.go()
    assert again.started_at == step and same_weights(again, calm)


def killed(rank, folder):
    """Rank 0 dies after step 5, when the checkpoint of step 4 lacks nothing but its last file."""
    reached = threading.Event()

    def stuck():
        reached.set()
        threading.Event().wait(60)

    def die(done, _values):
        if done == 5 and rank == 0:
            assert reached.wait(60)
            os._exit(0)

    with pytest.MonkeyPatch.context() as patch:
        interpose(patch, "finish", 4, stuck)
        with pytest.raises(RuntimeError, match="(?i)connection"):  # as the other rank is gone
            Run(f"{folder}/killed", 6, world_size=2, shard="root").go(log=die)
    os._exit(0)


def disturbed(rank, folder):
    calm = Run(f"{folder}/calm", 6, world_size=2, shard="root")
    calm.go()
    assert os.path.exists(f"{folder}/killed/{step_folder(4)}/__{rank}_0.distcp")
    dist.barrier()
    goes_on(f"{folder}/killed", 2, calm)
    slow_write(rank, f"{folder}/slow", calm)
    failed_write(rank, f"{folder}/failed", calm)


def slow_write(rank, folder, calm):
    """A checkpoint is begun after step 2 and written after step 4. It has the state after step 2."""
    gate, counted = threading.Event(), []

    def let_go(done, _values):
        if done == 4:
            counted.append([entry.step for entry in recorded(folder)])
            gate.set()

    with pytest.MonkeyPatch.context() as patch:
        interpose(patch, "write_data", 2, gate.wait)
        run = Run(folder, 6, world_size=2, shard="root")
        run.go(log=let_go, should_stop=stopping_at(3))
    assert counted == [[]] and run.registered == [2, 4]
    assert [entry.step for entry in recorded(folder)] == [2, 4]
    dist.barrier()
    if rank == 0:
        shutil.rmtree(f"{folder}/{step_folder(4)}")
    dist.barrier()
    goes_on(folder, 2, calm)


def failed_write(rank, folder, calm):
    """A write that fails on one rank is an error on both, no later than the next checkpoint."""

    def fail():
        raise OSError("the disk went away")

    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            interpose(patch, "write_data", 4, fail)
        run = Run(folder, 6, world_size=2, shard="root")
        with pytest.raises(CheckpointException, match="the disk went away"):
            run.go()
    assert run.registered == [2] and [entry.step for entry in recorded(folder)] == [2]
    dist.barrier()
    goes_on(folder, 2, calm)


def test_a_checkpoint_is_written_beside_the_steps_and_counts_once_it_is_whole(tmp_path):
    on_ranks(2, killed, str(tmp_path))
    assert [entry.step for entry in recorded(str(tmp_path / "killed"))] == [2]
    on_ranks(2, disturbed, str(tmp_path))


def test_only_whole_checkpoints_count(tmp_path):
    first = Run(tmp_path, 6)
    first.go()
    newest = tmp_path / "step-00000006"
    assert resume_point(str(tmp_path)).step == 6
    assert [entry.step for entry in recorded(str(tmp_path))] == [4, 6]

    data = newest / "__0_0.distcp"
    data.write_bytes(data.read_bytes()[:-1])
    assert resume_point(str(tmp_path)).step == 4
    assert Run(tmp_path, 6).checkpointer.restore() == 4

    (tmp_path / "step-00000004" / ".metadata").unlink()
    with pytest.raises(StageError, match="step-00000004, step-00000006") as caught:
        resume_point(str(tmp_path))
    assert caught.value.remedy == Restart()


def test_a_checkpoint_with_rotten_content_gives_way_to_the_older_one(tmp_path):
    Run(tmp_path, 6).go()
    metadata = tmp_path / "step-00000006" / ".metadata"
    metadata.write_bytes(bytes(len(metadata.read_bytes())))
    assert Run(tmp_path, 6).checkpointer.restore() == 4


def test_a_full_disk_is_one_message_and_the_checkpoint_before_it_stays(tmp_path):
    run = Run(tmp_path, 4)
    run.go()
    kept = [entry.step for entry in recorded(str(tmp_path))]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StageError, match="no space is left for the checkpoint of step 5.*earlier ones are kept"):
            run.checkpointer.save(5)
            run.checkpointer.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.step for entry in recorded(str(tmp_path))] == kept and not (tmp_path / "step-00000005").exists()
    assert Run(tmp_path, 4).checkpointer.restore() == 4


def test_a_snapshot_that_ray_cannot_load_is_left_behind(tmp_path):
    Run(tmp_path, 4).go()
    snapshot = tmp_path / SNAPSHOT
    snapshot.write_text(json.dumps({"checkpoint_results": [{"checkpoint_dir_name": "step-00000004"}]}))
    assert resume_point(str(tmp_path)).run_folder == ""
    snapshot.write_text(json.dumps({"checkpoint_results": [{"checkpoint_dir_name": "step-00000001"}]}))
    assert resume_point(str(tmp_path)) == resume_point(str(tmp_path))
    assert resume_point(str(tmp_path)).run_folder == "ray-1"
    snapshot.write_text('{"checkpoint_resu')
    assert (resume_point(str(tmp_path)).run_folder, resume_point(str(tmp_path)).step) == ("ray-1", 4)

    run = Run(tmp_path, 8, run_folder="ray-1")
    run.go()
    assert run.started_at == 4
    assert (tmp_path / "ray-1" / "step-00000008" / ".metadata").exists()
    keep_newest(str(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("step-*")] == ["ray-1/step-00000008"]
    assert resume_point(str(tmp_path)).step == 8


def test_a_damaged_or_lost_record_never_means_step_0(tmp_path):
    Run(tmp_path, 2).go()
    (tmp_path / SNAPSHOT).write_text(json.dumps({"checkpoint_results": [{"checkpoint_dir_name": "step-00000002"}]}))
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(StageError, match="checkpoints.json is damaged") as caught:
        resume_point(str(tmp_path))
    assert caught.value.remedy == Restart()
    (tmp_path / RECORD).unlink()
    with pytest.raises(StageError, match="no checkpoint is both recorded"):
        resume_point(str(tmp_path))


def test_an_unfinished_folder_of_the_same_step_is_replaced(tmp_path):
    stale = tmp_path / "step-00000002" / "__1_0.distcp"
    stale.parent.mkdir()
    stale.write_bytes(b"from a run of two ranks")
    assert resume_point(str(tmp_path)).step == 0
    Run(tmp_path, 2).go()
    assert not stale.exists()
