"""The runner on toy graphs: order, reuse, failure, Ctrl-C, kill -9, resume, tracking that goes away."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ray.exceptions import ActorUnavailableError

from jobs.stage.context import Change, Chat, Discard, Interrupted, Look, Rerun, Restart, StageError
from pipelines.artifacts import ArtifactStore
from pipelines.code_digest import ROOT
from pipelines.failures import failure_record, headline, root_cause, summary
from pipelines.invocation import Invocation
from pipelines.lease import LeaseHeld, take
from pipelines.planner import plan
from tests.support import toy_graph
from tests.support.processes import SECONDS, started, until
from tests.support.toy_graph import QUICK, MemoryTracking, run, slow_pair, toy
from tokenization.bpe.tokenizer import TokenizerError


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


def graph(**changes):
    base = toy("data", deterministic=True, text="d")
    left, right = toy("left", base, text="l"), toy("right", base, text="r", **changes)
    return [base, left, right, toy("join", left, right, text="j")]


def states(stages, store):
    return [status.state for status in plan(stages, store).values()]


def test_runs_in_order_then_reuses_everything_without_touching_the_tracker(store):
    assert run(graph(), store) == 0
    assert toy_graph.calls == ["data", "left", "right", "join"]
    tracking, out = MemoryTracking(), io.StringIO()
    tracking.away = True
    assert run(graph(), store, tracking=tracking, file=out) == 0
    assert toy_graph.calls == [] and tracking.parents == [] and out.getvalue().count("reused") == 4


def test_until_runs_only_what_is_needed(store):
    stages = graph()
    run(stages, store, targets=stages[:2])
    assert toy_graph.calls == ["data", "left"]
    assert states(stages, store) == ["complete", "complete", "missing", "blocked"]


def test_independent_stages_run_at_once(store):
    base = toy("data")
    pair = [toy("left", base, function="meet"), toy("right", base, function="meet")]
    barrier = threading.Barrier(2)

    def meet(ctx, config):
        barrier.wait(timeout=30)
        return {}

    toy_graph.meet = meet
    assert run([base, *pair], store, parallel=2) == 0


def test_failure_is_recorded_siblings_go_on_dependants_wait_then_the_same_attempt_resumes(store, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    stages, out, tracking = graph(fails_while=str(flag)), io.StringIO(), MemoryTracking()
    assert run(stages, store, file=out, tracking=tracking) == 1
    assert states(stages, store) == ["complete", "complete", "failed", "blocked"]
    attempt = plan(stages, store)["right"].attempt
    failure = store.read_json(attempt, "failure.json")
    assert failure["type"] == "StageError" and failure["rank"] is None and "toy_graph.py" in failure["traceback"]
    text = out.getvalue()
    assert "error: right failed\n  right cannot while" in text
    assert f"right/{attempt.artifact_id}/failure.json" in text and "  next     rm it" in text
    assert "resume   rxt run " in text and "restart  rxt stage rerun right" in text
    assert tracking.of("right")[0]["status"] == "FAILED" and tracking.parents[-1]["status"] == "FAILED"
    assert "failure.json" in tracking.of("right")[0]["files"]

    flag.unlink()
    assert run(stages, store, tracking=tracking) == 0
    assert toy_graph.calls == ["right", "join"]
    assert plan(stages, store)["right"].attempt == attempt and store.read_json(attempt, "failure.json") is None
    assert len(tracking.of("right")) == 1 and tracking.of("right")[0]["status"] == "FINISHED"


def test_rerun_is_a_new_attempt_from_the_start_even_after_a_failure(store, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    stages = graph(fails_while=str(flag))
    run(stages, store)
    flag.unlink()
    run(stages, store, targets=[stages[2]], fresh=["right"])
    assert plan(stages, store)["right"].attempt.number == 2


def test_second_run_on_a_running_stage_is_refused_and_names_the_holder(store):
    stages = graph()
    run(stages, store, targets=stages[:1])
    attempt = store.next_attempt("left", plan(stages, store)["left"].fingerprint)
    lease = take(store, attempt, print, times=QUICK)
    with pytest.raises(StageError, match=f"left {attempt.artifact_id} is being written by pid {os.getpid()}"):
        run(stages, store)
    assert toy_graph.calls == []
    lease.release()
    assert run(stages, store) == 0 and plan(stages, store)["left"].attempt == attempt


def test_after_the_loss_of_a_machine_the_same_command_waits_for_the_lease_and_goes_on(store):
    stages = graph()
    assert run(stages, store) == 0
    attempt = plan(stages, store)["join"].attempt
    store.remove(attempt, "manifest.json")
    record = store.read_json(attempt, "lease-000001.json")
    lost = record | {"released": False, "processes": "another start of this machine", "time": time.time()}
    store.write_json(attempt, "lease-000001.json", lost)
    with pytest.raises(LeaseHeld, match=f"join {attempt.artifact_id} is being written by pid {os.getpid()}"):
        run(stages, store, wait=False)
    out, began = io.StringIO(), time.monotonic()
    assert run(stages, store, file=out) == 0 and toy_graph.calls == ["join"]
    assert time.monotonic() - began >= QUICK.expiry and plan(stages, store)["join"].attempt == attempt
    assert re.search(r"join: pid \d+ on .* its lease runs out at \d\d:\d\d:\d\d, in 1 s", out.getvalue())


def test_lost_lease_refuses_the_result(store):
    def robbed(ctx, config):
        record = store.read_json(plan_attempt(), "lease-000001.json")
        store.create_json(plan_attempt(), "lease-000002.json", record)
        return {}

    stages = [toy("data", function="robbed")]

    def plan_attempt():
        return store.attempts("data")[0]

    toy_graph.robbed = robbed
    out = io.StringIO()
    assert run(stages, store, file=out) == 2
    assert "is being written by pid" in out.getvalue()
    assert store.manifest(plan_attempt()) is None


def test_a_deterministic_stage_that_is_not_is_warned_about(store):
    stages = [toy("data", deterministic=True, function="clock")]
    toy_graph.clock = lambda ctx, config: Path(ctx.output_uri, "t").write_text(str(time.time_ns())) and {}
    run(stages, store)
    out = io.StringIO()
    run(stages, store, fresh=["data"], file=out)
    assert "not deterministic" in out.getvalue()


def test_tracker_gets_curves_params_inputs_and_the_reused_runs(store):
    stages, tracking = slow_pair(3), MemoryTracking()
    run(stages, store, targets=stages[:1], tracking=tracking)
    run(stages, store, tracking=tracking)
    (first,), (second,) = tracking.of("base"), tracking.of("count")
    assert tracking.parents[1]["reused"] == {"base": "run-1"} and tracking.parents[1]["status"] == "FINISHED"
    assert [(n, round(v, 3), s) for n, v, s, _ in second["points"]] == [
        ("train/loss", 1.0, 1), ("train/loss", 0.5, 2), ("train/loss", 0.333, 3)
    ]  # fmt: skip
    base = plan(stages, store)["base"]
    assert second["inputs"] == {"base": (base.attempt.artifact_id, base.manifest["content_digest"])}
    assert first["params"]["text"] == "b" and "manifest.json" in second["files"]
    assert plan(stages, store)["count"].manifest["mlflow_run_id"] == "run-2"


def test_a_dead_tracker_stops_the_run_before_it_starts(store):
    tracking = MemoryTracking()
    tracking.away = True
    with pytest.raises(StageError, match="the tracker is away"):
        run(graph(), store, tracking=tracking)
    assert toy_graph.calls == [] and store.attempts("data") == []


def test_a_tracker_that_goes_away_costs_nothing_and_is_caught_up_later(store):
    tracking, out = MemoryTracking(), io.StringIO()

    def leave(ctx, config):
        ctx.reporter.metrics(1, {"train/loss": 1.0})
        tracking.away = True
        ctx.reporter.metrics(2, {"train/loss": 0.5})
        Path(ctx.output_uri, "out.txt").touch()
        return {}

    toy_graph.leave = leave
    stages = [toy("base", function="leave")]
    assert run(stages, store, tracking=tracking, file=out) == 0
    assert out.getvalue().count("base: warning: the tracker is away") == 1
    lines = (Path(store.uri(plan(stages, store)["base"].attempt)) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]

    tracking.away, out = False, io.StringIO()
    stages.append(toy("next", stages[0]))
    assert run(stages, store, tracking=tracking, file=out) == 0
    assert [(s, v) for _, v, s, _ in tracking.of("base")[0]["points"]] == [(1, 1.0), (2, 0.5)]
    assert tracking.of("base")[0]["status"] == "FINISHED" and "base: 2 points" in out.getvalue()


def driver(store, steps, deaf="listens"):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "tests.support.toy_graph", store.url, str(steps), deaf]
    printed = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return started(command, cwd=ROOT, env=environment, **printed)


def wait_for_step(store, process, step):
    def found():
        attempts = store.attempts("count")
        record = store.read_json(attempts[0], "checkpoints.json") if attempts else None
        return record and record["checkpoints"][-1]["step"] >= step

    until(found, process)
    return store.attempts("count")[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_the_loss_of_the_terminal_let_running_stages_save_and_the_next_run_resumes(store, number):
    with driver(store, 400) as process:
        wait_for_step(store, process, 3)
        process.send_signal(number)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, out
    assert "stopping" in out and "count: stopped, what it had is saved" in out and "go on with: rxt run" in out
    attempt = plan(slow_pair(400), store)["count"].attempt
    assert states(slow_pair(400), store) == ["complete", "interrupted"]
    assert store.read_json(attempt, "failure.json") is None


def test_the_loss_of_the_terminal_is_nothing_to_a_run_below_nohup(store, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(
        toy_graph, "loses", lambda ctx, config: os.kill(os.getpid(), signal.SIGHUP) or {}, raising=False
    )
    try:
        assert run([toy("alone", function="loses")], store) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_second_ctrl_c_ends_at_once(store):
    with driver(store, 4000, "deaf") as process:
        attempt = wait_for_step(store, process, 2)
        process.send_signal(signal.SIGINT)
        wait_for_step(store, process, store.read_json(attempt, "checkpoints.json")["checkpoints"][-1]["step"] + 3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 130


def test_kill_9_then_the_same_command_waits_for_the_orphans_says_so_and_resumes(store):
    with driver(store, 30) as process:
        attempt = wait_for_step(store, process, 4)
        process.kill()
        process.communicate(timeout=SECONDS)
    before = store.read_json(attempt, "checkpoints.json")["checkpoints"][-1]["step"]
    assert states(slow_pair(30), store) == ["complete", "interrupted"]
    out = io.StringIO()
    assert run(slow_pair(30), store, file=out) == 0
    assert f"pid {process.pid} on" in out.getvalue() and "is gone" in out.getvalue()
    assert f"count: resumed at step {before}" in out.getvalue()
    assert plan(slow_pair(30), store)["count"].attempt == attempt
    log = [int(line) for line in (Path(store.uri(attempt)) / "step-log").read_text().split()]
    assert sorted(set(log)) == list(range(1, 31)) and len(log) <= 31


@pytest.mark.parametrize("killed", [False, True])
def test_the_seconds_of_a_stage_are_those_of_all_its_sessions(store, monkeypatch, killed):
    stops = [Interrupted("asked to stop")]

    def stops_once(ctx, config):
        while stops:
            raise stops.pop()
        return {}

    monkeypatch.setattr(toy_graph, "stops_once", stops_once, raising=False)
    stages = [toy("alone", function="stops_once")]
    assert run(stages, store) == 130
    (attempt,) = store.attempts("alone")
    record = store.read_json(attempt, "lease-000001.json")
    record["seconds"] += 7200
    if killed:
        record |= {"released": False, "started": 0}  # its process id belongs to another one by now
    store.write_json(attempt, "lease-000001.json", record)
    assert run(stages, store) == 0
    status = plan(stages, store)["alone"]
    assert status.attempt == attempt and 7200 <= status.manifest["seconds"] < 7260
    assert run(stages, store, fresh=["alone"]) == 0
    assert plan(stages, store)["alone"].manifest["seconds"] < 60


def test_root_cause_is_found_below_ray_and_a_rank_that_blames_its_peer_comes_last():
    class Group(Exception):
        worker_failures = {0: RuntimeError("Connection closed by peer [::1]:1"), 1: FloatingPointError("loss is nan")}

    class TaskError(Exception):
        cause = Group()

    outer = RuntimeError("fit failed")
    outer.__cause__ = TaskError()
    cause, rank, ranks = root_cause(outer)
    assert (type(cause), rank, ranks) == (FloatingPointError, 1, [0, 1])
    record = failure_record(outer, "smat", 340, 2, Invocation("rxt run"))
    assert headline("smat", record) == "smat failed on rank 1 of 2 at step 340"
    assert summary(record) == "FloatingPointError: loss is nan"


def test_what_is_written_for_the_user_is_shown_in_place_of_what_caused_it():
    told = StageError("shard x is damaged: not JSON", Rerun("shards"))
    told.__cause__ = ValueError("line 1")
    outer = RuntimeError("fit failed")
    outer.__cause__ = told
    record = failure_record(outer, "sft", None, 2, Invocation("rxt run"))
    assert summary(record) == "shard x is damaged: not JSON"
    assert record["next_command"] == "rxt stage rerun shards"


def test_an_error_of_our_own_libraries_keeps_its_message_below_ray():
    told = TokenizerError("/store/tokenizer.json: not a tokenizer.json")
    told.__cause__ = ValueError("EOF at line 1")

    class TaskError(Exception):
        cause = told

    record = failure_record(TaskError(), "export", None, 2, Invocation("rxt run"))
    assert summary(record) == "TokenizerError: /store/tokenizer.json: not a tokenizer.json"


@pytest.mark.parametrize("asked", [True, False])
def test_ray_that_goes_away_after_a_signal_is_no_failure(store, monkeypatch, asked):
    """A signal to the process group also ends Ray's processes."""

    def loses(ctx, config):
        if asked:
            os.kill(os.getpid(), signal.SIGTERM)
            until(ctx.should_stop)
        raise ActorUnavailableError("the monitor is gone", None)

    monkeypatch.setattr(toy_graph, "loses", loses, raising=False)
    out = io.StringIO()
    stages = [toy("alone", function="loses")]
    assert run(stages, store, file=out) == (130 if asked else 1)
    (attempt,) = store.attempts("alone")
    assert (store.read_json(attempt, "failure.json") is None) == asked
    assert states(stages, store) == ["interrupted" if asked else "failed"]
    assert ("go on with: rxt run" in out.getvalue()) == asked


@pytest.mark.parametrize(
    ("remedy", "command"),
    [
        (Rerun("base"), "rxt stage rerun base"),
        (Look("base"), "rxt stage show base"),
        (Discard("base", "0-1"), "rxt stage discard base 0-1"),
        (Chat("base"), "rxt chat --stage base"),
        (Restart(), "rxt stage rerun sft"),
        (Change("sft.optimizer.lr", 0.5), "rxt run"),
    ],
)
def test_a_stage_that_fails_names_the_command_of_its_own_run(store, monkeypatch, remedy, command):
    def fail(ctx, config):
        ctx.reporter.message("foretold", remedy)
        raise StageError("it cannot be", remedy)

    monkeypatch.setattr(toy_graph, "fail", fail, raising=False)
    invocation = Invocation("rxt run", "tiny", ("--config", "my.toml", "--set", "sft.optimizer.lr=1"))
    changed = "--set sft.optimizer.lr=0.5" if remedy == Change("sft.optimizer.lr", 0.5) else "--set sft.optimizer.lr=1"
    out = io.StringIO()
    assert run([toy("sft", function="fail")], store, file=out, invocation=invocation) == 1
    expected = f"{command} --config my.toml {changed}"
    lines = out.getvalue().splitlines()
    assert f"sft: foretold: {expected}" in lines and f"  next     {expected}" in lines
    assert not [line for line in lines if line.startswith(("  resume", "  restart"))]


@pytest.mark.parametrize("record", ["{", "[]", "{}"])
def test_a_damaged_record_of_checkpoints_does_not_hide_why_the_stage_failed(store, record):
    def meet(ctx, config):
        Path(ctx.output_uri, "checkpoints.json").write_text(record)
        raise StageError("checkpoints.json is damaged", Restart())

    toy_graph.meet = meet
    out = io.StringIO()
    assert run([toy("alone", function="meet")], store, file=out) == 1
    assert "checkpoints.json is damaged" in out.getvalue() and "rxt stage rerun alone" in out.getvalue()
