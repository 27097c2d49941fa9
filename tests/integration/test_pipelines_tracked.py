"""The runner with MLflow itself: a run per stage below one parent, continued after a failure, curves complete."""

from __future__ import annotations

import pytest
import toy_graph
from toy_graph import run, toy

from pipelines.artifacts import ArtifactStore
from pipelines.planner import plan
from pipelines.tracking import Tracking


@pytest.fixture
def tracked(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return (lambda: Tracking(uri, "toy")), MlflowClient(tracking_uri=uri)


def test_runs_of_a_pipeline_that_fails_and_goes_on(tmp_path, tracked):
    tracking, client = tracked
    store, flag = ArtifactStore(str(tmp_path / "store")), tmp_path / "flag"
    base = toy("base", deterministic=True, text="b")
    stages = [base, toy("count", base, function="count", steps=5)]
    stages.append(toy("last", stages[1], fails_while=str(flag)))
    flag.touch()
    assert run(stages, store, tracking=tracking()) == 1
    failed = store.read_json(store.attempts("last")[0], "run.json")["mlflow_run_id"]
    assert client.get_run(failed).info.status == "FAILED"

    flag.unlink()
    assert run(stages, store, tracking=tracking()) == 0
    assert toy_graph.calls == ["last"]
    statuses = plan(stages, store)
    last, count = statuses["last"].manifest["mlflow_run_id"], statuses["count"].manifest["mlflow_run_id"]
    assert last == failed and client.get_run(last).info.status == "FINISHED"
    assert [(m.step, m.value) for m in client.get_metric_history(count, "train/loss")] == [
        (step, 1 / step) for step in range(1, 6)
    ]
    (experiment,) = client.search_experiments(filter_string="name = 'rxt-toy'")
    found = {r.info.run_id: r for r in client.search_runs([experiment.experiment_id])}
    parents = [r for r in found.values() if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 2 and len(found) == 5 and {p.info.status for p in parents} == {"FAILED", "FINISHED"}
    second = next(p for p in parents if p.info.status == "FINISHED")
    assert second.data.tags["rxt.reused.count"] == count
    assert found[last].data.tags["mlflow.parentRunId"] == second.info.run_id
    assert found[last].data.tags["rxt.upstream.count"] == statuses["count"].attempt.artifact_id
    assert {f.path for f in client.list_artifacts(last)} == {"failure.json", "manifest.json"}

    assert run(stages, store, tracking=tracking()) == 0
    assert len(client.search_runs([experiment.experiment_id])) == 5
