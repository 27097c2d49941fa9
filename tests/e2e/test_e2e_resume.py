"""Killed with SIGKILL, stopped with Ctrl-C: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import re
import shutil

import psutil

from jobs.checkpoints import recorded


def resumed(output: str, stage: str) -> int:
    """The step at which a command went on with a stage."""
    (step,) = re.findall(rf"^{stage}: resumed at step (\d+)", output, re.MULTILINE)
    return int(step)


def built(output: str) -> list[str]:
    """The stages that a command completed."""
    return re.findall(r"^(\S+): complete ", output, re.MULTILINE)


def kill(workspace, command) -> None:
    """The driver alone; what it had started must end by itself, soon."""
    command.kill()
    _, alive = psutil.wait_procs(workspace.processes(), timeout=15)
    assert alive == []


def finished_shards(folder):
    """Modification time of every shard that is recorded as finished."""
    shards = (folder / record.name.removesuffix(".json") for record in (folder / "done").glob("*.json"))
    return {shard.name: shard.stat().st_mtime_ns for shard in shards}


def test_killed_while_shards_are_written_and_in_pretrain(nano, copy):
    reused = [stage for stage in nano.status() if stage not in ("text-shards", "pretrain")]
    for stage in ("text-shards", "pretrain"):
        shutil.rmtree(copy.store / stage)

    command = copy.start("run", "tiny", "--config", "nano.toml")
    kill(copy, command.until(lambda: any((copy.store / "text-shards").glob("*/done/*.json"))))
    before = finished_shards(copy.artifact("text-shards"))
    assert 0 < len(before) < 8
    assert copy.status()["text-shards"]["state"] == "interrupted"

    command = copy.start("run", "tiny", "--config", "nano.toml")
    command.until(lambda: "pretrain" in copy.running())
    refusal = copy.nano("run", "tiny", code=2)
    assert re.search(rf"^error: pretrain \S+ is written by pid {command.process.pid} on ", refusal, re.MULTILINE)
    kill(copy, command.until(lambda: recorded(copy.artifact("pretrain"))))
    assert resumed(command.output, "text-shards") == len(before)
    after = finished_shards(copy.artifact("text-shards"))
    assert len(after) == 8 and before.items() <= after.items()

    saved = recorded(copy.artifact("pretrain"))[-1].step
    last = copy.nano("run", "tiny")
    assert resumed(last, "pretrain") == saved > 0
    assert built(last) == ["pretrain"]
    assert sorted(re.findall(r"^(\S+): reused ", last, re.MULTILINE)) == sorted(["text-shards", *reused])
    assert copy.weights("pretrain") == nano.weights("pretrain")
    for stage in reused:
        assert copy.status()[stage] == nano.status()[stage] | {"uri": copy.status()[stage]["uri"]}
