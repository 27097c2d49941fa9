"""The runner with MLflow itself: a run per stage below one parent, continued after a failure, curves complete."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.artifacts import ArtifactStore, Attempt
from pipelines.feed import StageFeed
from pipelines.planner import plan
from pipelines.reporter import read_points
from pipelines.tracking import Tracking
from tests.support import toy_graph
from tests.support.toy_graph import run, toy


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


def measure(ctx, config):
    """Report and plots as the evaluation writes them."""
    Path(ctx.output_uri, "plots").mkdir()
    for name in ("evaluation.json", "report.md", "plots/recall.png", "samples.jsonl"):
        Path(ctx.output_uri, name).write_text("of this run")
    return {"memory/recall": 0.25, "eval/perplexity_en": 90.5, "result": "recall 25 % | zeroed 0 %"}


def survey(ctx, config):
    """A page for the user, from a stage that does not measure the model."""
    Path(ctx.output_uri, "report.md").write_text("of another stage")
    return {"documents": 3, "result": "3 documents"}


def train(ctx, config):
    ctx.reporter.metrics(1, {"train/loss": 2.0, "eval/loss": 3.0})
    return {"train/loss": 2.0, "eval/loss": 3.0, "step_share": 0.5, "result": "loss 3.00"}


def test_the_run_of_a_command_shows_what_its_stages_found_made_or_reused(tmp_path, tracked, monkeypatch):
    tracking, client = tracked
    store = ArtifactStore(str(tmp_path / "store"))
    for function in (measure, train, survey):
        monkeypatch.setattr(toy_graph, function.__name__, function, raising=False)
    pretrain = toy("pretrain", function="train")
    measured = toy("evaluate", pretrain, function="measure")
    stages = [pretrain, measured, toy("corpus", function="survey"), toy("export")]
    assert run(stages, store, targets=stages[:3], tracking=tracking()) == 0
    assert run(stages, store, tracking=tracking()) == 0

    (experiment,) = client.search_experiments(filter_string="name = 'rxt-toy'")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    parents = [found for found in runs if "mlflow.parentRunId" not in found.data.tags]
    child = {found.data.tags["rxt.stage"]: found.info.run_id for found in runs if "rxt.stage" in found.data.tags}
    assert len(parents) == 2 and len(child) == 4
    for parent in parents:
        shown = {name: value for name, value in parent.data.metrics.items() if not name.startswith("system/")}
        assert shown == {"memory/recall": 0.25, "eval/perplexity_en": 90.5, "pretrain/loss": 3.0}
        files = {f.path for folder in ("", "plots") for f in client.list_artifacts(parent.info.run_id, folder)}
        assert files == {"report.md", "plots", "plots/recall.png"}
        text = parent.data.tags["mlflow.note.content"]
        link = f"[evaluate](#/experiments/{experiment.experiment_id}/runs/{child['evaluate']})"
        assert f"| {link} | recall 25 % \\| zeroed 0 % | " in text
    assert "[export]" in parents[1].data.tags["mlflow.note.content"]
    points = client.get_metric_history(child["pretrain"], "eval/loss")  # a metric has one name, and a point comes once
    assert [(point.step, point.value) for point in points] == [(1, 3.0)]
    assert client.get_run(child["pretrain"]).data.metrics["step_share"] == 0.5


def make_model(ctx, config):
    """Write what stands for weights, in the folder itself if it is the export."""
    folder = Path(ctx.output_uri, "" if ctx.stage == "export" else "model")
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_text(ctx.artifact_id)
    return {"result": f"a model of {ctx.stage}"}


def test_models_are_shown_with_what_they_came_from_and_the_export_is_registered(tmp_path, tracked, monkeypatch):
    tracking, client = tracked
    store = ArtifactStore(str(tmp_path / "store"))
    monkeypatch.setattr(toy_graph, "make_model", make_model, raising=False)
    pretrain = toy("pretrain", toy("shards"), function="make_model")
    sft = toy("sft", pretrain, function="make_model")
    stages = [*pretrain.inputs.values(), pretrain, sft, toy("export", sft, function="make_model")]
    assert run(stages, store, targets=stages[:2], tracking=tracking()) == 0
    for _ in range(2):  # a rerun makes another version, and shows nothing twice
        assert run(stages, store, fresh=["export"], tracking=tracking()) == 0

    (experiment,) = client.search_experiments(filter_string="name = 'rxt-toy'")
    models = {model.model_id: model for model in client.search_logged_models([experiment.experiment_id])}
    newest = {stage.name: plan(stages, store)[stage.name].made.attempt for stage in stages}
    runs = {name: client.get_run(store.read_json(attempt, "run.json")["mlflow_run_id"])
            for name, attempt in newest.items()}  # fmt: skip
    made = {name: [models[model.model_id].name for model in run.outputs.model_outputs] for name, run in runs.items()}
    read = {name: [models[model.model_id].name for model in run.inputs.model_inputs] for name, run in runs.items()}
    shown = {name: f"{name}-{attempt.artifact_id}" for name, attempt in newest.items()}
    assert made == {"shards": [], **{name: [shown[name]] for name in ("pretrain", "sft", "export")}}
    assert read == {"shards": [], "pretrain": [], "sft": [shown["pretrain"]], "export": [shown["sft"]]}
    assert len(models) == 4 and {model.status for model in models.values()} == {"READY"}

    versions = client.search_model_versions("name = 'rxt-toy'")
    assert [models[version.source.removeprefix("models:/")].name for version in versions] == [
        shown["export"],
        f"{shown['export'][:-1]}1",
    ]
    assert versions[0].run_id == runs["export"].info.run_id
    assert versions[0].tags["rxt.artifact_uri"] == store.uri(newest["export"])
    assert "| a model of pretrain |" in versions[0].description


def test_points_that_a_killed_process_had_not_sent_are_sent_by_the_next_and_none_twice(tmp_path, tracked):
    tracking, client = tracked[0](), tracked[1]
    store, attempt = ArtifactStore(str(tmp_path / "store")), Attempt("count", "0" * 12, 1)
    tracking.check()
    parent = tracking.start_run("rxt run", ())
    run_id = tracking.start_stage(parent, "count", attempt.artifact_id, store.uri(attempt), "0" * 64, 1, {}, {})
    store.write_json(attempt, "run.json", {"mlflow_run_id": run_id, "unsent": None})
    lines = [json.dumps({"time": 1.5 + step, "step": step, "values": {"train/loss": 1 / step}}) for step in (1, 2, 3)]
    store.append(attempt, "metrics.jsonl", "\n".join(lines) + "\n")
    tracking.log_metrics(run_id, read_points(lines[0]))

    feed = StageFeed(store, attempt, tracking, lambda earlier: earlier, print)
    feed.add(read_points(json.dumps({"time": 9, "step": 4, "values": {"train/loss": 0.25}})))
    feed.close("FINISHED")
    found = client.get_metric_history(run_id, "train/loss")
    assert [(point.step, point.value) for point in found] == [(step, 1 / step) for step in range(1, 5)]
    assert store.read_json(attempt, "run.json") == {"mlflow_run_id": run_id, "unsent": 0, "files": []}


def test_stages_that_begin_at_once_may_have_the_same_inputs(tracked):
    tracking = tracked[0]()
    tracking.check()
    parent = tracking.start_run("rxt run", ())

    def begin(number):
        inputs = {"shards": (f"{number // 4}-1", "d" * 36)}
        run_id = tracking.start_stage(parent, "stage", f"{number}-1", "uri", "0" * 64, 1, {}, inputs)
        tracking.end_stage(run_id, "FINISHED")
        return run_id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(begin, range(16)))) == 16


def test_after_the_database_is_lost_what_it_lacked_goes_to_a_new_run(tmp_path, tracked):
    tracking, client = tracked
    store = ArtifactStore(str(tmp_path / "store"))
    base = toy("base", text="b")
    count = toy("count", base, function="count", steps=3)
    assert run([base, count], store, tracking=tracking()) == 0
    attempt = plan([base, count], store)["count"].attempt
    record = store.read_json(attempt, "run.json")
    store.write_json(attempt, "run.json", record | {"unsent": 1})
    (tmp_path / "mlflow.db").unlink()

    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/another.db"
    assert run([base, count, toy("last", count)], store, tracking=Tracking(uri, "toy")) == 0
    client, now = MlflowClient(tracking_uri=uri), store.read_json(attempt, "run.json")
    sent = client.get_run(now["mlflow_run_id"])
    assert now["unsent"] == 0 and now["mlflow_run_id"] != record["mlflow_run_id"] and sent.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(sent.info.run_id, "train/loss")] == [1, 2, 3]
    assert sent.data.params["steps"] == "3" and sent.inputs.dataset_inputs[0].dataset.name.startswith("base ")
    assert not any(name.startswith("system/") for name in sent.data.metrics)
    assert [file.path for file in client.list_artifacts(sent.info.run_id)] == ["manifest.json"]
    parent = client.get_run(sent.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "FINISHED" and parent.data.tags["rxt.reused.count"] == sent.info.run_id
