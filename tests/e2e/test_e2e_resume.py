"""After SIGKILL, SIGTERM or Ctrl-C the same command continues, and ends with the same bytes."""

from __future__ import annotations

import json
import re
import shutil

from mlflow import MlflowClient

from jobs.training.checkpoints import recorded
from tests.support.nano import built, resumed, reused

RUN = ("run", "tiny", "--config", "nano.toml")


def finished_shards(folder):
    """Return, for every shard recorded as finished, its files and when they were last modified."""
    records = {path.stem: json.loads(path.read_text()) for path in (folder / "done").glob("*.json")}
    return {
        name: {file["file"]: (folder / file["file"]).stat().st_mtime_ns for file in record["files"]}
        for name, record in records.items()
    }


def saved(workspace, stage):
    """Return the step of the newest checkpoint of a running stage, 0 without one."""
    folder = workspace.begun(stage)
    checkpoints = recorded(str(folder)) if folder else []
    return checkpoints[-1].step if checkpoints else 0


def test_killed_in_shards_and_then_terminated_in_pretrain(nano, copy):
    for stage in ("text-shards", "pretrain"):
        shutil.rmtree(copy.store / stage)

    command = copy.start(*RUN)
    copy.kill(command.until(lambda: any((copy.store / "text-shards").glob("*/done/*.json"))))
    shards = copy.artifact("text-shards")
    before = finished_shards(shards)
    assert 0 < len(before) <= 6
    assert copy.status()["text-shards"]["state"] == "interrupted"

    command = copy.start(*RUN).until(lambda: copy.begun("pretrain"))
    refusal = copy.rxt(*RUN, code=2)
    assert re.search(rf"^error: pretrain \S+ is being written by pid {command.process.pid} on ", refusal, re.MULTILINE)
    command.until(lambda: saved(copy, "pretrain")).process.terminate()
    stopped = command.ends_with(130)
    assert resumed(stopped, "text-shards") == len(before)
    after = finished_shards(shards)
    assert len(after) == 6 and before.items() <= after.items()
    assert "error:" not in stopped and "go on with: rxt run --config nano.toml" in stopped
    assert copy.status()["pretrain"]["state"] == "interrupted"

    step = saved(copy, "pretrain")
    last = copy.rxt(*RUN)
    assert 0 < resumed(last, "pretrain") == step < 16
    assert built(last) == ["pretrain"] and len(reused(last)) == 13  # what followed is found again
    assert copy.weights("pretrain") == nano.weights("pretrain")


def test_after_a_rerun_all_becomes_complete_again_through_a_kill_and_a_stop(nano, copy):
    straight = nano.status()
    assert built(copy.nano("stage", "rerun", "memory-pretrain")) == ["memory-pretrain"]
    status = copy.status()
    first, second = straight["memory-pretrain"]["artifact_id"], status["memory-pretrain"]["artifact_id"]
    assert second == first.removesuffix("1") + "2"
    assert status["smat"]["state"] == "stale"
    assert status["smat"]["reason"] == f"inputs.model: {first} -> {second}"
    blocked = ("mrl", "evaluate", "export")
    assert {status[stage]["reason"] for stage in blocked} == {"waits for smat"}
    assert [stage for stage, entry in status.items() if entry["state"] == "blocked"] == list(blocked)

    command = copy.start(*RUN)
    copy.kill(command.until(lambda: saved(copy, "smat")))
    assert copy.status()["smat"]["state"] == "interrupted"
    step = saved(copy, "smat")

    command = copy.start(*RUN)
    command.until(lambda: list((copy.begun("mrl") or copy.folder).glob("rl/checkpoints/checkpoint.json"))).interrupt()
    stopped = command.ends_with(130)
    assert 0 < resumed(stopped, "smat") == step < 12
    assert built(stopped) == ["smat"]
    assert "stopped; go on with: rxt run --config nano.toml" in stopped
    assert copy.status()["mrl"]["state"] == "interrupted"

    last = copy.rxt(*RUN)
    assert 0 < resumed(last, "mrl") < 4
    assert built(last) == ["mrl", "evaluate", "export"]
    status, again = copy.status(), ("memory-pretrain", "smat", "mrl")
    assert {entry["state"] for entry in status.values()} == {"complete"}
    assert all(status[stage]["artifact_id"] != straight[stage]["artifact_id"] for stage in again)
    assert copy.weights(*again) == nano.weights(*again)
    one_run_each(copy)

    user = status["smat"]["artifact_id"]
    gone = copy.nano("stage", "discard", "memory-pretrain", second, "--yes")
    assert f"  smat {user} was built from it\n" in gone
    assert {s: e["artifact_id"] for s, e in copy.status().items()} == {s: e["artifact_id"] for s, e in straight.items()}


def one_run_each(workspace):
    """Check that an artifact has one run, however often it was stopped, and that the run's curve has all that was
    reported."""
    client = MlflowClient(f"sqlite:///{workspace.database}")
    (experiment,) = client.search_experiments(filter_string="name = 'rxt-tiny'")
    runs = client.search_runs([experiment.experiment_id])
    made = [run.data.tags["rxt.artifact_id"] for run in runs if "rxt.artifact_id" in run.data.tags]
    assert len(made) == len(set(made)) == 14 + 5
    parents = [run.info.status for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(parents) == ["FINISHED", "FINISHED", "FINISHED", "KILLED", "KILLED"]

    lines = (workspace.artifact("smat") / "metrics.jsonl").read_text().splitlines()
    reported = [
        (line["step"], line["values"]["train/loss"])
        for line in map(json.loads, lines)
        if "train/loss" in line["values"]
    ]
    curve = client.get_metric_history(workspace.status()["smat"]["mlflow_run_id"], "train/loss")
    assert sorted((point.step, point.value) for point in curve) == sorted(reported)
    assert {1, 12} <= {step for step, _ in reported} and len(reported) <= 12 + 2
