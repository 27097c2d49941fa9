"""The stage `mrl` on a real Ray: undisturbed, stopped, with its driver killed, and with an actor killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from jobs.configs.execution import RlExecution
from jobs.configs.rl import MrlConfig
from jobs.configs.training import OptimizerConfig
from jobs.rl.actors import Actors
from jobs.rl.controller import run_mrl, shuffled
from jobs.rl.episodes import Episode, Turn, as_episode, by_length
from jobs.rl.replay_buffer import Sample, Trajectory
from jobs.rl.weight_sync import publish
from jobs.stage.context import Change, Interrupted, StageError
from jobs.training.objectives.collapse import RANK
from pipelines.code_digest import ROOT
from rxt_model.files.checkpoint import load_config
from tests.support.processes import SECONDS, started, until
from tests.support.rl_data import RecordingReporter, toy_context, toy_row, toy_world

CONFIG = MrlConfig(
    iterations=5,
    episodes=6,
    samples=2,
    turns=(2, 4),
    held_out_episodes=9,
    optimizer=OptimizerConfig(lr=3e-3, warmup_steps=0),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def straight(ray_session, inputs, tmp_path_factory):
    """Give the undisturbed run: its output folder, what it reported, and what it returned."""
    output, reporter = tmp_path_factory.mktemp("straight"), RecordingReporter()
    result = run_mrl(toy_context(inputs, output, reporter), CONFIG)
    return output, reporter, result


def test_the_stage_leaves_a_model_a_comparison_and_curves(straight, inputs):
    output, reporter, result = straight
    before, after = Path(inputs["model"].uri) / "model", output / "model"
    assert load_config(after) == load_config(before)
    old, new = load_file(before / "model.safetensors"), load_file(after / "model.safetensors")
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)

    report = json.loads((output / "held_out.json").read_text())
    assert report["episodes"] == 9 == len(report["rewards_before"]) == len(report["rewards_after"])
    assert report["difference"]["mean"] == pytest.approx(report["after"]["mean"] - report["before"]["mean"])
    assert result["held_out_after"] == report["after"]["mean"]
    assert all(isinstance(value, float | str) for value in result.values())

    assert sorted(reporter.points) == [1, 2, 3, 4, 5]
    wanted = {"reward_mean", "reward_min", "reward_max", "reward_bleu", "reward_cosine", "reward_length", "kl",
              "entropy", "clip_fraction", "policy_loss", "stm_change", "reward_turn_1"}  # fmt: skip
    assert {f"rl/{name}" for name in wanted} <= reporter.points[1].keys()
    assert "rl/reward_turn_3" in reporter.points[5]
    assert "rl/reward_turn_3" not in reporter.points[1]  # the curriculum starts with two interactions
    assert reporter.notes[-1].startswith("5/5 reward")
    samples = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [line["when"] for line in samples] == ["before", "before", "after", "after"]
    assert samples[0]["turns"][1].keys() == {"query", "answer", "reference", "reward"}
    assert [Path(path).name for path in reporter.files] == ["held_out.json", "samples.jsonl"]
    assert 0 < result["seconds_in_steps"] == pytest.approx(result["step_share"] * result["seconds_in_fit"])
    assert not (output / "rl" / "workers").exists()
    assert len([p for p in (output / "rl" / "checkpoints").iterdir() if p.is_dir()]) == 1


DRIVER = """
    import pathlib, pickle, sys
    import ray
    from tests.support.rl_data import RecordingReporter, toy_context
    from jobs.rl.controller import run_mrl
    ray.init(address={address!r}, log_to_driver=False)
    inputs, output, config = pickle.loads(pathlib.Path({arguments!r}).read_bytes())
    class Printing(RecordingReporter):
        def message(self, text, remedy=""): print(text, flush=True)
        def progress(self, done, total, note=""): print("done", done, flush=True)
    run_mrl(toy_context(inputs, output, Printing(), checkpoint_every_iterations=1), config)
"""


def test_stopped_then_killed_it_goes_on_to_the_weights_of_the_undisturbed_run(ray_session, straight, inputs, tmp_path):
    output = tmp_path / "out"
    stopping = RecordingReporter(stop_after=1)
    with pytest.raises(Interrupted):
        run_mrl(toy_context(inputs, output, stopping, checkpoint_every_iterations=100), CONFIG)
    assert sorted(stopping.points) == [1]

    (tmp_path / "arguments").write_bytes(pickle.dumps((inputs, output, CONFIG)))
    address = ray_session.get_runtime_context().gcs_address
    code = textwrap.dedent(DRIVER).format(address=address, arguments=str(tmp_path / "arguments"))
    lines = []
    with started([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        for line in driver.stdout:
            lines.append(line.strip())
            if line.strip() == "done 3":
                driver.send_signal(signal.SIGKILL)
        driver.wait(SECONDS)
    assert lines[:1] == ["resumed at step 1"]
    assert driver.returncode == -signal.SIGKILL
    assert not (output / "model").exists()

    last = RecordingReporter()
    result = run_mrl(toy_context(inputs, output, last), CONFIG)
    assert last.messages[0] in ("resumed at step 2", "resumed at step 3", "resumed at step 4")
    expected = load_file(straight[0] / "model" / "model.safetensors")
    for name, tensor in load_file(output / "model" / "model.safetensors").items():
        assert torch.equal(tensor, expected[name]), name
    assert result["held_out_difference"] == straight[2]["held_out_difference"]
    for step, values in last.points.items():
        assert values == straight[1].points[step]


def test_two_learners_learn_what_one_learns(ray_session, straight, inputs, tmp_path):
    stopping = RecordingReporter(stop_after=1)
    with pytest.raises(Interrupted):
        run_mrl(toy_context(inputs, tmp_path, stopping, learners=2, expert_parallel=2), CONFIG)
    found, expected = stopping.points[1], straight[1].points[1]
    assert found.keys() == expected.keys()
    for name in expected.keys() - {RANK}:  # looks at the first conversations of each learner
        assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name
    assert (tmp_path / "rl" / "checkpoints" / "iteration-00000001-learned" / "optimizer.safetensors").exists()


@pytest.mark.parametrize(
    ("layout", "reason", "remedy"),
    [
        ({"learners": 4}, "3 conversations has none for some of 1 micro-batches of 4 learners", ("learners", 1)),
        ({"micro_batches": 4}, "none for some of 4 micro-batches of 1 learners", ("micro_batches", 3)),
        ({"learners": 3, "expert_parallel": 3}, "rl.expert_parallel = 3: must divide the 4 experts of a layer",
         ("expert_parallel", 1)),
    ],
)  # fmt: skip
def test_learners_that_cannot_share_the_work_are_refused(inputs, tmp_path, layout, reason, remedy):
    with pytest.raises(StageError, match=reason) as caught:
        run_mrl(toy_context(inputs, tmp_path, RecordingReporter(), **layout), CONFIG)
    assert caught.value.remedy == Change(f"execution.rl.{remedy[0]}", remedy[1])


def test_an_actor_killed_within_a_turn_comes_back_with_its_memory(ray_session, inputs, tmp_path):
    model_uri = f"{inputs['model'].uri}/model"
    episodes = by_length(as_episode(toy_row(i, 5, 283, 4), 4, f"e{i}") for i in range(150))
    results, writes = [], []
    for name, kills in (("whole", 0), ("killed", 2)):
        actors = Actors.start(model_uri, str(tmp_path / name), CONFIG, RlExecution(rollout_workers=1))
        worker, state = actors.workers[0], tmp_path / name / "workers" / "0.safetensors"
        pid = ray_session.get(worker.pid.remote())
        killed = []

        def killer(state=state, worker=worker, killed=killed, kills=kills, pid=pid):
            """Kill the process as soon as a turn is on disk. By then the next turn has begun."""
            seen = None
            for _ in range(kills):
                until(lambda: state.exists() and state.stat().st_mtime_ns != seen)  # noqa: B023
                seen = state.stat().st_mtime_ns
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                pid = ray_session.get(worker.pid.remote())

        thread = threading.Thread(target=killer, daemon=True)
        thread.start()
        results.append(actors.collect("train-0", episodes, publish(actors.learner, 0), 1.0, 0))
        thread.join(SECONDS)
        assert len(set(killed)) == kills
        assert (ray_session.get(worker.pid.remote()) == pid) == (kills == 0)
        writes.append(ray_session.get(worker.writes.remote()))
        actors.stop()
    assert results[0] == results[1]
    assert writes == [sum(len(e.turns) for e in episodes)] * 2


def test_a_loss_that_is_not_finite_stops_the_stage(ray_session, inputs, tmp_path):
    config = CONFIG.model_copy(update={"iterations": 3, "entropy": float("inf")})
    with pytest.raises(StageError, match="not finite in iteration 0") as caught:
        run_mrl(toy_context(inputs, tmp_path, RecordingReporter(), rollout_workers=1), config)
    assert caught.value.remedy == Change("mrl.optimizer.lr", config.optimizer.lr / 2)


def test_shards_of_another_tokenizer_and_too_few_conversations_are_refused(ray_session, inputs, tmp_path):
    context = toy_context(inputs, tmp_path / "out", RecordingReporter(), rollout_workers=1)
    with pytest.raises(StageError, match="held_out_episodes = 200.*10 conversations") as caught:
        run_mrl(context, CONFIG.model_copy(update={"held_out_episodes": 200}))
    assert caught.value.remedy == Change("mrl.held_out_episodes", 10)


def test_shuffled_rewards_are_the_same_rewards_in_other_places():
    episode = Episode("e", (Turn((1,), (3,)),) * 5)
    sample = Sample((3,), (0.0,))
    given = [Trajectory(episode, 0, (sample,) * 4, tuple(float(4 * i + j) for j in range(4))) for i in range(5)]
    found = shuffled(given, 1)
    assert found != given
    assert sorted(r for t in found for r in t.rewards) == [float(i) for i in range(20)]
    assert found == shuffled(given, 1)
