"""A training stage on Ray, stopped in every way, with or without recomputed layers, ends with the same weights, bit for
bit."""

import sys

import psutil
import pytest

from jobs.configs.training import OptimizerConfig
from jobs.stage.context import Interrupted
from jobs.training.checkpoints import recorded
from jobs.training.pretrain import pretrain
from pipelines.code_digest import ROOT
from rxt_model.files.checkpoint import from_pretrained
from rxt_model.moe.selection_bias import expert_layers
from tests.support.processes import SECONDS, started, until
from tests.support.training_data import Memory, make_training_shards, pretrain_config, training_context

STEPS = 160
DRIVER = """
from tests.support.training_data import training_context, pretrain_config
from jobs.configs.execution import Execution
from jobs.stage.ray_setup import ensure_ray
from jobs.training.pretrain import pretrain
ensure_ray(Execution())
ctx = training_context("pretrain", {output!r}, {{"shards": {shards!r}}}, checkpoint_every_steps=20)
pretrain(ctx, pretrain_config({steps}, bias_speed=0.01))
"""


class At(Memory):
    """Calls a function once, when training comes to a step."""

    def __init__(self, step, action):
        super().__init__()
        self.step, self.action, self.done = step, action, False

    def progress(self, done, total, note=""):
        super().progress(done, total, note)
        if done >= self.step and not self.done:
            self.done = True
            self.action()


def run(output, shards, reporter=None, should_stop=lambda: False, **execution):
    reporter = reporter or Memory()
    execution |= {"checkpoint_every_steps": 20}
    ctx = training_context("pretrain", output, {"shards": shards}, reporter, should_stop, **execution)
    return pretrain(ctx, pretrain_config(STEPS, bias_speed=0.01)), reporter


def kill_a_worker():
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
    assert len(workers) == 2
    workers[1].kill()


def kill_the_driver(output, shards):
    """Start the stage in a process of its own, and kill it once a checkpoint is recorded."""
    script = DRIVER.format(output=str(output), shards=shards, steps=STEPS)
    with started([sys.executable, "-c", script], cwd=ROOT, start_new_session=True) as driver:
        until(lambda: recorded(str(output)), driver)
        helpers = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.wait(SECONDS)
    # orphans write on for a moment; the lease of a real run waits for that
    _, alive = psutil.wait_procs(helpers, timeout=8)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=SECONDS)


def test_killed_and_stopped_training_ends_with_the_same_weights(ray_session, tmp_path):
    shards = make_training_shards(tmp_path)["text"]
    metrics, undisturbed = run(tmp_path / "undisturbed-1", shards)
    assert metrics["steps"] == STEPS
    assert 0 < metrics["step_share"] < 1
    assert metrics["result"] == f"loss {metrics['eval/loss']:.2f}"
    assert undisturbed.points[0][1]["train/loss"] > undisturbed.points[-2][1]["train/loss"]
    assert undisturbed.notes[-1][:2] == (STEPS, STEPS)

    output = tmp_path / "disturbed-1"
    kill_the_driver(output, shards)
    saved = recorded(str(output))[-1].step
    assert 0 < saved < STEPS

    seen = []
    reporter = At(saved + 10, lambda: seen.append(True))
    with pytest.raises(Interrupted, match="stopped after step"):
        run(output, shards, reporter, should_stop=lambda: bool(seen))
    assert reporter.messages == [f"resumed at step {saved}"]
    stopped = recorded(str(output))[-1].step
    assert saved < stopped < STEPS

    reporter = At(stopped + 21, kill_a_worker)
    run(output, shards, reporter, activation_checkpointing=True)
    assert reporter.messages[0] == f"resumed at step {stopped}"
    again = int(reporter.messages[1].removeprefix("resumed at step "))
    assert again >= stopped // 20 * 20 + 20  # at most one interval was done twice

    names = ("model/model.safetensors", "model/config.json")
    for name in names:
        assert (output / name).read_bytes() == (tmp_path / "undisturbed-1" / name).read_bytes()
    model = from_pretrained(output / "model")
    assert model.config.dim == 32
    assert all(layer.selection_bias.any() for layer in expert_layers(model.decoder))
    assert [path.name for path in output.glob("step-*")] == [f"step-{STEPS:08d}"]


def test_a_loss_that_is_no_number_ends_the_stage_and_keeps_the_last_checkpoint(ray_session, tmp_path):
    shards = make_training_shards(tmp_path)["text"]
    config = pretrain_config(30, optimizer=OptimizerConfig(lr=1e30, warmup_steps=0))
    ctx = training_context("pretrain", tmp_path / "bad-1", {"shards": shards}, checkpoint_every_steps=1)
    with pytest.raises(RuntimeError, match=r"(loss|gradient) is not finite \(.*\) at step \d+"):
        pretrain(ctx, config)
    assert recorded(str(tmp_path / "bad-1"))[-1].step >= 1
