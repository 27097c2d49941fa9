"""What a run says if Ray cannot start, ends under it, or lacks machines."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from jobs.stage import ray_folder, ray_setup, ray_watch
from jobs.stage.ray_setup import RayUnavailable
from jobs.stage.ray_watch import RayWatch, shortage
from pipelines.artifacts import ArtifactStore
from pipelines.planner import plan
from tests.support import toy_graph
from tests.support.processes import free_port, until
from tests.support.toy_graph import run, toy


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def folder(short_folder, monkeypatch):
    found = short_folder()
    monkeypatch.setenv("RAY_TMPDIR", str(found))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return found


def test_a_folder_that_ray_can_use_and_one_that_it_will_make(folder, monkeypatch):
    assert ray_folder.trouble() == ""
    monkeypatch.setenv("RAY_TMPDIR", str(folder / "not" / "there"))
    assert ray_folder.trouble() == ""


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_whose_sockets_would_have_too_long_paths(folder, store, monkeypatch, name):
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv(name, "/tmp/" + "x" * 60)
    with pytest.raises(RayUnavailable, match=f"{name}=/tmp/x+ has 65 bytes: .*at most 39") as error:
        run([toy("base")], store)
    assert "RAY_TMPDIR=/tmp/rxt-$(id -u) rxt run" in error.value.remedy
    assert store.attempts("base") == []  # nothing was started


def test_a_file_and_the_folder_of_another_user(folder, monkeypatch):
    (folder / "ray").touch()
    assert f"{folder}/ray is a file" in ray_folder.trouble()
    (folder / "ray").unlink()
    (folder / "ray").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder / "ray")
    assert f"{folder}/ray belongs to " in ray_folder.trouble()


def test_a_cluster_that_is_joined_needs_no_folder_here(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    ray_setup.prepare_environment()


def test_a_server_of_ray_that_ended_is_named():
    server = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        watch = RayWatch("127.0.0.1:1", "", {"raylet": psutil.Process(server.pid)})
        assert watch.ended == ""
        server.kill()
        until(lambda: watch.ended, seconds=20)  # a zombie until it is waited for, which counts as ended
        assert watch.ended == "Ray's raylet has ended"
    finally:
        server.kill()
        server.wait(20)


def test_a_cluster_that_falls_silent(monkeypatch):
    address = f"127.0.0.1:{free_port()}"
    watch = RayWatch(address, "", {})
    watch.look()
    assert watch.ended == ""  # for a moment, perhaps
    monkeypatch.setattr(ray_watch, "SILENT_SECONDS", 0.0)
    watch.look()
    assert watch.ended == f"the Ray cluster at {address} does not answer"


def test_an_error_that_looks_like_a_loss_is_checked_at_once():
    with socket.create_server(("127.0.0.1", 0)) as gcs:
        watch = RayWatch("127.0.0.1:{1}".format(*gcs.getsockname()), "", {})
        assert not watch.has_lost() and watch.ended == ""
    assert watch.has_lost() and "does not answer" in watch.ended


@pytest.mark.parametrize(
    ("nodes", "demand", "said"),
    [
        ([{"CPU": 1}, {"CPU": 1}], [{"CPU": 1}] * 4, "waits for 4 CPUs, the cluster has 2"),
        ([{"CPU": 8}], [{"CPU": 1, "GPU": 1}], "waits for 1 GPU, the cluster has 0"),
        ([{"CPU": 2}, {"CPU": 2}], [{"CPU": 4}], "waits for a machine with 4 CPUs, the largest has 2"),
        ([{"CPU": 2, "memory": 1e9}], [{"memory": 4e9}], "waits for 4.0 GB of memory, the cluster has 1.0 GB"),
        ([{"CPU": 2}, {"CPU": 2}], [{"CPU": 2}, {"CPU": 2}], ""),
        ([], [{"CPU": 1}], "waits for 1 CPU, the cluster has 0"),
    ],
)
def test_what_a_cluster_lacks(nodes, demand, said):
    assert shortage(nodes, [demand]) == said


@pytest.mark.parametrize("stage_notices", [True, False])
def test_a_run_whose_ray_ended_says_so_and_the_same_command_goes_on(store, monkeypatch, stage_notices):
    from ray.exceptions import RaySystemError

    def lose(ctx, config):
        monkeypatch.setattr(ray_setup, "ended", lambda: "Ray's raylet has ended")
        monkeypatch.setattr(ray_setup, "is_lost", lambda: True)
        if stage_notices:
            raise RaySystemError("the raylet is away")
        time.sleep(5)  # as a stage waits for Ray
        return {}

    monkeypatch.setattr(toy_graph, "lose", lose, raising=False)
    out = io.StringIO()
    assert run([toy("alone", function="lose")], store, file=out) == 1
    said = "error: Ray's raylet has ended, and no stage can go on: what was saved counts; go on with: rxt run"
    assert said in out.getvalue()
    attempt = plan([toy("alone", function="lose")], store)["alone"].attempt
    assert store.read_json(attempt, "failure.json") is None  # the stage did nothing wrong


@pytest.mark.parametrize("stopped", [False, True])
def test_a_ray_that_cannot_start_is_no_failure_of_the_stage(store, monkeypatch, stopped):
    def start(ctx, config):
        if stopped:
            os.kill(os.getpid(), 2)
            until(ctx.should_stop, seconds=20)
        raise RayUnavailable("Ray cannot be started here: too slow", "wait")

    monkeypatch.setattr(toy_graph, "start", start, raising=False)
    out = io.StringIO()
    stages = [toy("alone", function="start")]
    assert run(stages, store, file=out) == (130 if stopped else 2)
    assert ("error: Ray cannot be started here: too slow\n  next     wait" in out.getvalue()) != stopped
    assert plan(stages, store)["alone"].state == "interrupted"


def test_what_is_waited_for_is_said_once(store, monkeypatch):
    said = iter(["", "waits for 1 GPU, the cluster has 0", "waits for 1 GPU, the cluster has 0"])
    monkeypatch.setattr(ray_setup, "shortage", lambda: next(said, ""))
    out = io.StringIO()
    assert run([toy("alone", pause=1.5)], store, file=out) == 0
    assert out.getvalue().count("waits for 1 GPU, the cluster has 0\nwhat was waited for is there\n") == 1


def lost_process(kind):
    from ray import exceptions

    return exceptions.ActorDiedError() if kind == "ActorDiedError" else getattr(exceptions, kind)("its process died")


@pytest.mark.parametrize(("times", "code"), [(2, 0), (3, 1)])
@pytest.mark.parametrize("kind", ["ActorDiedError", "NodeDiedError"])
def test_a_lost_process_is_made_up_for_within_the_retry_policy(store, monkeypatch, kind, times, code):
    calls, loss = [], lost_process(kind)

    def train(ctx, config):
        calls.append(ctx.artifact_id)
        if len(calls) <= times:
            raise loss
        return {"result": "trained"}

    monkeypatch.setattr(toy_graph, "train", train, raising=False)
    out = io.StringIO()
    assert run([toy("alone", function="train")], store, file=out) == code
    assert len(calls) == 3 and len(set(calls)) == 1  # max_failures is 2, and all are one attempt
    assert f"alone: lost a process of Ray ({kind}); goes on, 2 more times at most" in out.getvalue()


@pytest.mark.parametrize("error", [lambda: RuntimeError("no"), lambda: lost_process("OutOfMemoryError")])
def test_other_errors_are_not_tried_again(store, monkeypatch, error):
    calls, wrong = [], error()

    def train(ctx, config):
        calls.append(1)
        raise wrong

    monkeypatch.setattr(toy_graph, "train", train, raising=False)
    assert run([toy("alone", function="train")], store, file=io.StringIO()) == 1
    assert calls == [1]
