"""The finished pipeline: what the run printed, what status and MLflow show, that nothing runs twice, and the chat."""

from __future__ import annotations

import json
import re

from mlflow import MlflowClient

from pipelines.curriculum import curriculum
from pipelines.overrides import resolve
from pipelines.presets.tiny import tiny
from tests.support.nano import ROOT, built

STAGES = [stage.name for stage in curriculum(resolve(tiny(), ROOT / "tests" / "assets" / "nano.toml"))]
TRAINED = ("pretrain", "sft", "memory-pretrain", "smat", "mrl", "baseline")


def test_every_stage_is_complete_and_says_so(nano):
    assert sorted(built(nano.first_run)) == sorted(STAGES)  # two at once
    assert "warning" not in nano.first_run
    shares = re.findall(r"^(\S+): \d+% of \d+ s were spent in steps$", nano.first_run, re.MULTILINE)
    assert sorted(shares) == sorted(TRAINED)
    table = nano.first_run.splitlines()[-len(STAGES) - 2 :]
    assert table[0].split() == ["stage", "state", "artifact", "took", "result", "note"]
    assert [line.split()[:2] for line in table[1:-1]] == [[stage, "complete"] for stage in STAGES]
    assert table[-1] == "next: rxt chat --config nano.toml"


def test_status_lists_every_stage_with_its_artifact_and_its_run(nano):
    found = json.loads(nano.nano("status", "--json"))
    assert list(found) == ["preset", "overrides", "store", "tracking_uri", "stages"]
    assert found["preset"] == "tiny" and "smat.steps=12" in found["overrides"]
    assert found["store"] == str(nano.store) and found["tracking_uri"] == f"sqlite:///{nano.database}"
    assert [entry["stage"] for entry in found["stages"]] == STAGES
    for entry in found["stages"]:
        assert list(entry) == ["stage", "state", "artifact_id", "uri", "fingerprint", "attempt", "mlflow_run_id",
                               "seconds", "result", "reason"]  # fmt: skip
        assert entry["state"] == "complete" and entry["attempt"] == 1 and entry["seconds"] > 0 and entry["result"]
        assert entry["artifact_id"] == f"{entry['fingerprint'][:12]}-1"
        assert entry["uri"] == str(nano.store / entry["stage"] / entry["artifact_id"])
        assert re.fullmatch("[0-9a-f]{32}", entry["mlflow_run_id"])


def test_a_second_run_reuses_all_and_starts_neither_ray_nor_a_run(nano):
    sessions = [path for path in (nano.folder / "ray").iterdir() if path.name.startswith("session_2")]
    assert len(sessions) == 1  # one `ray.init` for the whole first run
    before = nano.database.stat()
    second = nano.nano("run", "tiny")
    assert re.findall(r"^(\S+): reused ", second, re.MULTILINE) == STAGES
    assert [path for path in (nano.folder / "ray").iterdir() if path.name.startswith("session_2")] == sessions
    assert nano.database.stat().st_mtime_ns == before.st_mtime_ns


def test_mlflow_has_one_run_below_the_parent_for_each_artifact(nano):
    client = MlflowClient(f"sqlite:///{nano.database}")
    (experiment,) = client.search_experiments(filter_string="name = 'rxt-tiny'")
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    (parent,) = (run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags)
    assert parent.data.tags["rxt.command"] == "rxt run tiny --config nano.toml"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    status = nano.status()
    children = {stage: runs.pop(entry["mlflow_run_id"]) for stage, entry in status.items()}
    assert list(runs) == [parent.info.run_id]
    for stage, run in children.items():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["rxt.artifact_uri"] == status[stage]["uri"]
        assert "manifest.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
    smat = children["smat"]
    assert smat.data.params["steps"] == "12" and smat.data.params["phases.0.turns"] == "2"
    assert smat.data.tags["rxt.upstream.model"] == status["memory-pretrain"]["artifact_id"]
    assert len(smat.inputs.dataset_inputs) == 3  # model, conversations, and text beside them
    assert {"train/accuracy_turn_1", "train/accuracy_turn_4", "train/text_loss"} <= smat.data.metrics.keys()
    curve = client.get_metric_history(smat.info.run_id, "train/loss")
    assert [point.step for point in curve] == list(range(1, 13))
    rewards = client.get_metric_history(children["mrl"].info.run_id, "rl/reward_mean")
    assert [point.step for point in rewards] == list(range(1, 5))
    assert {file.path for file in client.list_artifacts(children["evaluate"].info.run_id, "plots")}


def test_chat_answers_what_it_is_told_and_plays_examples(nano):
    said = nano.nano("chat", "tiny", "--prompt", "The code of my locker is 4182.", "--prompt", "/memory")
    export = nano.status()["export"]["artifact_id"]
    header, title = said.splitlines()[:2]
    assert header.endswith("preset tiny   config nano.toml") and title.startswith(f"export/{export}   ")
    assert re.search(r"^you> The code of my locker is 4182\.\n(.*\n)?rxt> ", said, re.MULTILINE)
    assert "turns 1   layers 2   slots 4 x 88" in said
    played = nano.nano("chat", "--example", "en", "--example", "pl", "--stage", "smat")
    assert played.splitlines()[1].startswith(f"smat/{nano.status()['smat']['artifact_id']}   ")
    assert re.findall(r"^example (..), seed \d+", played, re.MULTILINE) == ["en", "pl"]
    assert len(re.findall(r"^\d of [1-9] remembered$", played, re.MULTILINE)) == 2
