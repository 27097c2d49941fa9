"""MLflow as it is: a real SQLite database and a real server, no mocks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from pipelines import ui
from pipelines.tracker.errors import TrackingError, TrackingUnavailable
from pipelines.tracker.models import Shown
from pipelines.tracking import LONGEST_PARAM, Tracking, absolute_uri
from pipelines.ui import serve_ui
from tests.support.processes import SECONDS, free_port, started
from tests.support.servers.login import login_server

DIGEST = "5f" * 32


def stage(tracking: Tracking, parent: str, **changed) -> str:
    arguments = {
        "stage": "sft",
        "artifact_id": "0123456789ab-1",
        "uri": "/store/sft/0123456789ab-1",
        "fingerprint": "0123456789ab" * 5,
        "attempt": 1,
        "params": {"optimizer.lr": 0.001, "steps": 5},
        "inputs": {"model": ("cfd01612079f-2", DIGEST), "shards": ("058809123a46-1", DIGEST)},
    }
    return tracking.start_stage(parent, **{**arguments, **changed})


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/new/mlflow.db"


@pytest.fixture
def client(uri) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def test_a_run_has_a_child_per_artifact_with_lineage(uri, client, tmp_path):
    tracking = Tracking(uri, "tiny")
    tracking.check()
    parent = tracking.start_run("rxt run tiny", ["sft.steps=5"])
    tracking.note_reused({"corpus": "run-of-corpus"})
    child = stage(tracking, parent, params={"optimizer.lr": 0.001, "none": None, "long": "x" * 9000, "empty": ""})
    tracking.log_metrics(child, [("train/loss", 3.0 - step, step, 1_000 + step) for step in range(3)])
    plot = tmp_path / "recall.png"
    plot.write_bytes(b"png")
    tracking.log_file(child, str(plot), "plots")
    tracking.end_stage(child, "FINISHED")
    tracking.end_run("FINISHED")

    run = client.get_run(child)
    assert run.info.status == client.get_run(parent).info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["rxt.stage"] == "sft"
    assert run.data.tags["rxt.artifact_id"] == "0123456789ab-1"
    assert run.data.tags["rxt.upstream.model"] == "cfd01612079f-2"
    assert client.get_run(parent).data.tags["rxt.reused.corpus"] == "run-of-corpus"
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", run.data.tags["mlflow.source.git.commit"])
    assert run.data.params["optimizer.lr"] == "0.001"
    assert len(run.data.params["long"]) <= LONGEST_PARAM and "9000" in run.data.params["long"]
    assert [(m.step, m.value) for m in client.get_metric_history(child, "train/loss")] == [(0, 3), (1, 2), (2, 1)]
    assert {i.dataset.name: i.dataset.digest for i in run.inputs.dataset_inputs} == {
        "model cfd01612079f-2": DIGEST[:36],
        "shards 058809123a46-1": DIGEST[:36],
    }
    assert [f.path for f in client.list_artifacts(child, "plots")] == ["plots/recall.png"]
    assert any(name.startswith("system/") for name in run.data.metrics)


def test_artifacts_lie_beside_the_database_and_not_in_the_current_folder(uri, client):
    experiment = client.get_experiment_by_name("rxt-tiny")
    assert experiment.artifact_location == str(Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts")


def test_a_resumed_stage_continues_its_run_below_the_new_parent(uri, client):
    killed = Tracking(uri, "tiny")
    killed_parent = killed.start_run("rxt run tiny", [])
    child = stage(killed, killed_parent)
    killed.log_metrics(child, [("train/loss", 2.0, 10, 1_000)])
    killed._samplers[child].stop()  # what a SIGKILL leaves behind: both runs say RUNNING

    tracking = Tracking(uri, "tiny")
    parent = tracking.start_run("rxt run tiny", [])
    assert stage(tracking, parent, run_id=child, params={"optimizer.lr": 0.5, "new": 1}) == child
    assert client.get_run(child).info.status == "RUNNING"
    tracking.log_metrics(child, [("train/loss", 1.0, 20, 2_000)])
    tracking.end_stage(child, "FAILED")
    tracking.end_run("FAILED")

    run = client.get_run(child)
    assert [m.step for m in client.get_metric_history(child, "train/loss")] == [10, 20]
    assert run.info.status == "FAILED" and run.data.tags["mlflow.parentRunId"] == parent
    assert client.get_run(killed_parent).info.status == "KILLED"
    assert run.data.params == {"optimizer.lr": "0.001", "steps": "5", "new": "1"}
    assert len(run.inputs.dataset_inputs) == 2


def test_runs_of_a_killed_process_are_ended_by_the_next_one(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code = f"""
import os, signal
from pipelines.tracking import Tracking
tracking = Tracking({uri!r}, "tiny")
tracking.check()
parent = tracking.start_run("rxt run tiny", [])
tracking.start_stage(parent, "sft", "0123456789ab-1", "uri", "f" * 64, 1, {{}}, {{}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], timeout=SECONDS)
    living = Tracking(uri, "tiny")
    parent = living.start_run("rxt stage rerun corpus", [])
    child = stage(living, parent)
    tracking = Tracking(uri, "tiny")
    tracking.start_run("rxt stage rerun sft", [])
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = client.search_experiments(filter_string="name = 'rxt-tiny'")
    status = {run.info.run_id: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert status.pop(parent) == status.pop(child) == "RUNNING"
    assert sorted(status.values()) == ["KILLED", "KILLED", "RUNNING"]
    living.end_run("FINISHED")
    tracking.end_run("FINISHED")


def test_a_run_that_was_deleted_is_replaced(uri, client):
    tracking = Tracking(uri, "tiny")
    parent = tracking.start_run("rxt run tiny", [])
    gone = stage(tracking, parent)
    client.delete_run(gone)
    replacement = stage(tracking, parent, run_id=gone)
    assert replacement != gone
    unknown = stage(tracking, parent, run_id="f" * 32)
    with pytest.raises(TrackingUnavailable, match=gone):
        tracking.end_run("FINISHED")
    assert {client.get_run(r).info.status for r in (replacement, unknown)} == {"KILLED"}
    assert client.get_run(parent).info.status == "FINISHED"


def test_many_points_and_parameters_exceed_one_request(uri, client):
    tracking = Tracking(uri, "wide")
    run_id = stage(tracking, tracking.start_run("rxt run", []), params={f"p{i}": i for i in range(230)})
    tracking.log_metrics(run_id, [("m", float(i), i, i) for i in range(2_300)])
    tracking.end_run("FINISHED")
    assert len(client.get_run(run_id).data.params) == 230
    assert len(client.get_metric_history(run_id, "m")) == 2_300


def test_a_new_database_is_silent(tmp_path):
    code = f"from pipelines.tracking import Tracking; Tracking('sqlite:///{tmp_path}/m.db', 'tiny').check()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stdout + done.stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.db"]


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "ftp://host/db"])
def test_a_store_that_mlflow_refuses_is_named(uri):
    with pytest.raises(TrackingError, match=re.escape(repr(uri))) as error:
        Tracking(uri, "tiny")
    assert error.value.remedy


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "sqlite:///m.db?mode=ro", "http://[::1"])
def test_an_address_that_names_nothing_is_refused(uri):
    with pytest.raises(TrackingError, match=re.escape(f"tracking URI {uri!r}: ")) as error:
        absolute_uri(uri)
    assert "sqlite:////absolute/mlflow.db or http://host:port" in str(error.value)


def test_a_relative_database_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Tracking("sqlite:///a/m.db", "tiny").uri == f"sqlite:///{tmp_path}/a/m.db"


def test_unusable_databases_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at" * 40)
    for path in ("file/mlflow.db", "text.db"):
        with pytest.raises(TrackingError, match=re.escape(f"{tmp_path}/{path}")) as error:
            Tracking(f"sqlite:///{tmp_path}/{path}", "tiny").check()
        assert error.value.remedy


def test_a_dead_server_is_one_clear_message():
    port = free_port()
    with pytest.raises(TrackingError, match=f"http://127.0.0.1:{port}.*refused") as error:
        Tracking(f"http://127.0.0.1:{port}/", "tiny").check()
    assert "MLFLOW_TRACKING_URI" in error.value.remedy


def test_a_refused_write_raises_and_the_points_can_be_logged_again(uri, client, monkeypatch):
    tracking = Tracking(uri, "tiny")
    run_id = stage(tracking, tracking.start_run("rxt run", []))
    points = [("train/loss", 1.0, 1, 1)]
    client.delete_run(run_id)
    with pytest.raises(TrackingUnavailable):
        tracking.log_metrics(run_id, points)
    client.restore_run(run_id)
    with pytest.raises(TrackingUnavailable, match="a moment ago"):
        tracking.log_metrics(run_id, points)
    monkeypatch.setattr(tracking, "_paused_until", 0.0)
    tracking.log_metrics(run_id, points)
    tracking.end_run("FINISHED")
    assert len(client.get_metric_history(run_id, "train/loss")) == 1


def test_the_server_shows_the_runs_takes_runs_and_leaves_nothing(uri, client, monkeypatch):
    port = free_port()
    code = f"import sys; from pipelines.ui import serve_ui; sys.exit(serve_ui({uri!r}, {port}))"
    with started([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as ui:
        lines = [ui.stdout.readline() for _ in range(3)]
        assert re.search(rf"http://127.0.0.1:{port}/#/experiments/\d+/runs", lines[1]), lines
        children = psutil.Process(ui.pid).children(recursive=True)
        tracking = Tracking(f"http://127.0.0.1:{port}", "tiny")
        tracking.check()
        run_id = stage(tracking, tracking.start_run("rxt run tiny", []))
        tracking.log_metrics(run_id, [("train/loss", 1.0, 1, 1)])
        assert client.get_run(run_id).data.metrics["train/loss"] == 1.0
        manifest = {"stage": "export", "artifact_id": "0123456789ab-1", "content_digest": DIGEST, "result": "1 M",
                    "inputs": {}, "outputs": {"model.safetensors": {}}}  # fmt: skip
        for _ in range(2):
            tracking.show_models([Shown(run_id, manifest, "/store/export/0123456789ab-1")], "made of nothing")
        (version,) = client.search_model_versions("name = 'rxt-tiny'")
        (made,) = client.get_run(run_id).outputs.model_outputs
        assert version.source == f"models:/{made.model_id}" and version.description == "made of nothing"
        with login_server(f"http://127.0.0.1:{port}", "me", "hush-hush") as gate:
            with pytest.raises(TrackingError, match=f"MLflow at {gate} demands a login") as error:
                Tracking(gate, "tiny").check()
            assert "MLFLOW_TRACKING_USERNAME" in error.value.remedy
            named = Tracking(gate.replace("//", "//me:hush-hush@"), "tiny")
            named.check()
            assert "hush" not in named.shown
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush-hush")
            Tracking(gate, "tiny").check()
        with pytest.raises(TrackingError, match=f"port {port}"):
            serve_ui(uri, port)
        ui.send_signal(signal.SIGINT)
        assert ui.wait(SECONDS) == 0
    assert children and psutil.wait_procs(children, timeout=10)[1] == []
    with pytest.raises(TrackingUnavailable, match=str(port)):
        tracking.log_metrics(run_id, [("train/loss", 0.5, 2, 2)])
    with pytest.raises(TrackingUnavailable):
        tracking.end_run("FINISHED")


def test_another_interrupt_ends_a_server_that_does_not_listen(monkeypatch):
    monkeypatch.setattr(ui, "STOP_SECONDS", SECONDS)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = ["sh", "-c", "trap '' TERM; echo; sleep 1000"]
    with started(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        server.stdout.readline()
        again = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
        again.start()
        try:
            ui._stop(server)
        finally:
            again.join(SECONDS)
            signal.signal(signal.SIGINT, before)
        assert server.returncode == -signal.SIGKILL
