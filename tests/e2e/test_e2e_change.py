"""After a value changed: what runs, what fails, and that a failed change leaves nothing behind."""

from __future__ import annotations

import json

from mlflow import MlflowClient

from jobs.training.checkpoints import recorded
from tests.support.nano import built, reused

FEWER = ("--set", "interactions.generated=50")
DIVERGES = ("--set", "sft.optimizer.lr=1e30", "--set", "sft.optimizer.warmup_steps=0")


def test_an_override_runs_its_stage_and_what_follows_and_is_not_remembered(nano, copy):
    before = copy.status()
    changed = copy.status(*FEWER)
    assert changed["interaction-shards"]["state"] == "stale"
    assert changed["interaction-shards"]["reason"] == "config.generated: 60 -> 50"

    output = copy.nano("run", "tiny", "--until", "interaction-shards", *FEWER)
    assert built(output) == ["interaction-shards"]
    assert reused(output) == ["corpus", "tokenizer"]
    assert output.splitlines()[0].endswith(f"preset tiny   config nano.toml   set {FEWER[1]}")
    assert output.splitlines()[-1].startswith(f"next: rxt run --config nano.toml {' '.join(FEWER)}   builds sft")
    changed = copy.status(*FEWER)
    assert changed["interaction-shards"]["state"] == "complete" and changed["sft"]["state"] == "stale"
    assert changed["sft"]["reason"].startswith("inputs.shards: ")
    assert copy.status() == before
    plain = copy.nano("run", "tiny")
    assert reused(plain) == list(before)


def test_a_loss_that_is_no_number_fails_the_stage_and_tells_what_to_do(copy):
    output = copy.nano("run", "tiny", *DIVERGES, code=1)
    error = output.partition("\nerror: ")[2].splitlines()
    status = copy.status(*DIVERGES)
    assert error[0].startswith("sft failed at step ")
    assert error[1].startswith("  ") and "Error: " not in error[1] and "is not finite" in error[1]
    slower = "--set sft.optimizer.warmup_steps=0 --set sft.optimizer.lr=5e+29"
    assert error[2] == f"  next     rxt run --config nano.toml {slower}"
    assert output.splitlines()[-1] == f"next: rxt run --config nano.toml {slower}   since sft failed"
    assert error[3] == f"  log      store/sft/{status['sft']['artifact_id']}/failure.json"
    assert not any(line.startswith(("  resume", "  restart")) for line in error)
    assert status["sft"]["state"] == "failed" and "is not finite" in status["sft"]["reason"]
    assert {status[stage]["state"] for stage in ("memory-pretrain", "smat", "mrl", "evaluate")} == {"blocked"}
    assert status["baseline"]["state"] == "complete"
    artifact = copy.artifact("sft", *DIVERGES)
    assert recorded(str(artifact))[-1].step >= 1  # the last checkpoint is kept
    failure = json.loads((artifact / "failure.json").read_text())
    assert failure["message"] in error[1]

    client = MlflowClient(f"sqlite:///{copy.database}")
    run = client.get_run(status["sft"]["mlflow_run_id"])
    assert run.info.status == "FAILED"
    assert client.get_run(run.data.tags["mlflow.parentRunId"]).info.status == "FAILED"
    assert "failure.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {entry["state"] for entry in copy.status().values()} == {"complete"}
