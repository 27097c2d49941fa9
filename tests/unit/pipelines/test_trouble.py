"""What may go wrong around a running stage: a full disk, a store that does not answer, a lost lease, a tracker that
lacks what it should have."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.configs.evaluation import EvaluateConfig
from jobs.stage.context import Interrupted, StageError
from pipelines import cli, session
from pipelines.artifacts import ArtifactStore, Attempt, StoreError
from pipelines.guard.token import TokenError
from pipelines.lease import take
from pipelines.planner import plan
from pipelines.stage import Stage
from tests.support import toy_graph
from tests.support.processes import until
from tests.support.toy_graph import QUICK, MemoryTracking, run, toy

ATTEMPT = Attempt("pretrain", "0123456789ab", 1)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


@contextmanager
def disk_that_fills():
    """Yield a function after which no file of this process can grow until the block ends. A fixture would end too late:
    before its teardown pytest may write its report to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wait_until_stopped(ctx):
    until(ctx.should_stop, seconds=30)
    raise Interrupted("asked to stop")


def test_a_full_disk_is_told_with_the_next_command_by_every_stage_that_meets_it(store, monkeypatch):
    out, tracking = io.StringIO(), MemoryTracking()
    stages = [toy("left", function="fills"), toy("right")]
    with disk_that_fills() as fill:

        def fills(ctx, config):
            fill()
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(toy_graph, "fills", fills, raising=False)
        assert run(stages, store, file=out, tracking=tracking) == 1
    text = out.getvalue()
    assert "error: left failed\n  OSError: [Errno 28] No space left on device" in text
    assert "failure.json could not be written: no space is left for store" in text and "resume   rxt run " in text
    assert "error: no space is left for store" in text and "  next     make room, then run the same command" in text
    assert "/failure.json\n" not in text  # it is not there
    assert plan(stages, store)["left"].state == "interrupted"  # though its lease could not be written
    assert not list(Path(store.root).rglob("*.tmp"))
    assert tracking.parents[-1]["status"] == "FAILED" and toy_graph.calls == []


@pytest.mark.parametrize("is_held", [False, True])
def test_an_incomplete_attempt_can_be_discarded_from_a_full_disk(store, monkeypatch, is_held):
    monkeypatch.setenv("RXT_STORE", store.root)
    monkeypatch.setattr(session, "curriculum", lambda config: [toy("pretrain")])
    store.write_json(ATTEMPT, "attempt.json", {})
    lease = take(store, ATTEMPT, print)
    if not is_held:
        lease.release()
    with disk_that_fills() as fill:
        fill()
        done = CliRunner().invoke(cli.app, ["stage", "discard", "pretrain", ATTEMPT.artifact_id, "--yes"])
    lease.release()
    assert done.exit_code == (2 if is_held else 0), done.output
    assert store.attempts("pretrain") == ([ATTEMPT] if is_held else [])


def test_an_error_of_the_runner_stops_and_awaits_what_runs(store, monkeypatch):
    seen = []

    def damages(ctx, config):
        other = Attempt("left", ctx.artifact_id.partition("-")[0], 2)
        Path(store.uri(other)).mkdir()
        Path(store.uri(other), "manifest.json").write_text("{")
        return {}

    def waits(ctx, config):
        try:
            wait_until_stopped(ctx)
        finally:
            time.sleep(0.3)
            seen.append(ctx.should_stop())

    monkeypatch.setattr(toy_graph, "damages", damages, raising=False)
    monkeypatch.setattr(toy_graph, "waits", waits, raising=False)
    stages, tracking = [toy("left", function="damages"), toy("right", function="waits")], MemoryTracking()
    with pytest.raises(StageError, match="manifest.json is damaged"):
        run(stages, store, tracking=tracking, parallel=2)
    assert seen == [True] and tracking.parents[-1]["status"] == "FAILED"
    assert tracking.of("right")[0]["status"] == "KILLED"


def test_a_store_that_ends_with_the_process_is_refused():
    store, tracking = ArtifactStore("memory://trouble/store"), MemoryTracking()
    with pytest.raises(StoreError, match="store memory:///trouble/store is in the memory of one process"):
        run([toy("alone")], store, tracking=tracking)
    assert tracking.parents == [] and toy_graph.calls == []


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa-token", b"\x00\xff", b""])
def test_a_token_of_which_ray_would_abort_is_refused(store, monkeypatch, tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    tracking = MemoryTracking()
    with pytest.raises(TokenError, match=f"RAY_AUTH_TOKEN_PATH={tmp_path}/token: "):
        run([toy("alone")], store, tracking=tracking)
    assert tracking.parents == []


@pytest.mark.parametrize("moment", ["start_run", "describe", "end_run"])
def test_a_signal_while_mlflow_is_told_leaves_no_run_open(store, monkeypatch, moment):
    tracking = MemoryTracking()
    told = getattr(tracking, moment)

    def tell(*words):
        os.kill(os.getpid(), signal.SIGTERM)
        return told(*words)

    monkeypatch.setattr(tracking, moment, tell)
    before = signal.getsignal(signal.SIGTERM)
    assert run([toy("alone")], store, tracking=tracking) == (130 if moment == "start_run" else 0)
    assert tracking.parents[-1]["status"] == ("KILLED" if moment == "start_run" else "FINISHED")
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_heartbeat_outlives_a_store_that_is_away_for_a_while(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    with disk_that_fills() as fill:
        fill()
        time.sleep(4 * QUICK.heartbeat)
    before = store.read_json(ATTEMPT, "lease-000001.json")["beat"]
    until(lambda: store.read_json(ATTEMPT, "lease-000001.json")["beat"] > before)
    assert lease.is_ours()
    lease.release()


def test_a_lease_is_lost_when_no_heartbeat_came_through_until_it_expired(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    with disk_that_fills() as fill:
        fill()
        until(lambda: lease.lost)
        assert isinstance(lease.lost, StoreError)
        with pytest.raises(StoreError):
            lease.commit({})
        lease.release()


def test_who_lost_the_lease_leaves_records_and_run_to_the_new_holder(store, monkeypatch):
    taken = {"mlflow_run_id": "run-1", "unsent": None, "files": []}

    def robbed(ctx, config):
        ctx.reporter.metrics(1, {"train/loss": 1.0})
        (attempt,) = store.attempts("data")
        record = store.read_json(attempt, "lease-000001.json")
        store.create_json(attempt, "lease-000002.json", record)
        store.write_json(attempt, "run.json", taken)
        raise RuntimeError("the files are gone")

    monkeypatch.setattr(toy_graph, "robbed", robbed, raising=False)
    out, tracking = io.StringIO(), MemoryTracking()
    assert run([toy("data", function="robbed")], store, file=out, tracking=tracking) == 2
    (attempt,) = store.attempts("data")
    assert store.read_json(attempt, "run.json") == taken and store.read_json(attempt, "failure.json") is None
    assert tracking.runs["run-1"]["status"] == "RUNNING" and tracking.left == ["run-1"]


def test_a_stage_is_told_of_the_loss_of_its_lease_by_an_error_and_does_not_save(store, monkeypatch):
    saved = []

    def robbed(ctx, config):
        (attempt,) = store.attempts("data")
        store.create_json(attempt, "lease-000002.json", store.read_json(attempt, "lease-000001.json"))
        until(ctx.should_stop, seconds=30)
        saved.append("over what its successor wrote")

    monkeypatch.setattr(toy_graph, "robbed", robbed, raising=False)
    out = io.StringIO()
    assert run([toy("data", function="robbed")], store, file=out) == 2
    assert saved == [] and "error: data" in out.getvalue() and "is being written by" in out.getvalue()


def build_unseen(store, tracking, monkeypatch):
    """Build a complete stage that the tracker does not know, since it was away all the time."""

    def unseen(ctx, config):
        ctx.reporter.metrics(1, {"train/loss": 1.0})
        folder = Path(ctx.output_uri, "plots")
        folder.mkdir()
        (folder / "recall.png").write_bytes(b"png")
        ctx.reporter.file(str(folder / "recall.png"), "plots")
        return {"eval/x": 2.0}

    def away(*arguments):
        tracking.away = True
        return "parent-1"

    monkeypatch.setattr(toy_graph, "unseen", unseen, raising=False)
    monkeypatch.setattr(tracking, "start_run", away)
    stages = [toy("base", function="unseen", text="b")]
    assert run(stages, store, tracking=tracking, file=io.StringIO()) == 0
    monkeypatch.undo()
    tracking.away = False
    status = plan(stages, store)["base"]
    assert status.manifest["mlflow_run_id"] is None and tracking.runs == {}
    return [*stages, toy("next")]


def test_a_stage_that_the_tracker_never_saw_is_sent_by_the_next_run(store, monkeypatch):
    tracking, out = MemoryTracking(), io.StringIO()
    stages = build_unseen(store, tracking, monkeypatch)
    assert run(stages, store, tracking=tracking, file=out) == 0
    (sent,) = tracking.of("base")
    assert [(name, value) for name, value, _, _ in sent["points"]] == [("train/loss", 1.0), ("eval/x", 2.0)]
    assert sent["status"] == "FINISHED" and sent["params"]["text"] == "b"
    assert sorted(sent["files"]) == ["manifest.json", "recall.png"]
    attempt = plan(stages, store)["base"].attempt
    assert store.read_json(attempt, "run.json")["mlflow_run_id"] == "run-1"
    assert tracking.parents[-1]["reused"] == {"base": "run-1"}

    shutil.rmtree(store.uri(plan(stages, store)["next"].attempt))
    assert run(stages, store, tracking=tracking) == 0 and len(tracking.of("base")) == 1


def test_what_was_not_sent_to_a_lost_database_goes_to_a_new_run(store, monkeypatch):
    lost, out = MemoryTracking(), io.StringIO()
    stages = build_unseen(store, lost, monkeypatch)
    attempt = plan(stages[:1], store)["base"].attempt
    store.write_json(attempt, "run.json", {"mlflow_run_id": "of-another-database", "unsent": 1, "files": []})
    tracking = MemoryTracking()
    assert run(stages, store, tracking=tracking, file=out) == 0
    assert len(tracking.of("base")[0]["points"]) == 2 and "base: 2 points" in out.getvalue()


def test_a_tracker_that_refuses_to_catch_up_is_a_warning(store, monkeypatch):
    tracking, out = MemoryTracking(), io.StringIO()
    stages = build_unseen(store, tracking, monkeypatch)

    def leave(run_id, points):
        tracking.away = True
        tracking._reach()

    monkeypatch.setattr(tracking, "log_metrics", leave)
    assert run(stages, store, tracking=tracking, file=out) == 0
    assert "warning: the tracker is away; a later run tries again" in out.getvalue()
    assert plan(stages, store)["next"].is_complete


def test_a_mistake_in_a_file_of_the_evaluation_stops_the_run_before_it_starts(store, tmp_path):
    config = EvaluateConfig(own_words=str(tmp_path / "none.jsonl"))
    stages = [Stage("evaluate", "measures", "jobs.evaluation.stage:evaluate", config)]
    with pytest.raises(StageError, match=r"none.jsonl: cannot be read"):
        run(stages, store)
    assert store.attempts("evaluate") == []
