"""A training stage on Ray ends with the same weights, bit for bit, if it is stopped and then loses a worker, with or
without recomputed layers. tests/e2e kills its driver."""

import psutil
import pytest

from jobs.stage.context import Interrupted
from jobs.training.checkpoints import recorded
from jobs.training.pretrain import pretrain
from rxt_model.files.checkpoint import from_pretrained
from rxt_model.moe.selection_bias import expert_layers
from tests.support.training_data import Memory, make_training_shards, pretrain_config, training_context

STEPS, EVERY = 100, 10  # EVERY: steps between two checkpoints


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
    execution |= {"checkpoint_every_steps": EVERY}
    ctx = training_context("pretrain", output, {"shards": shards}, reporter, should_stop, **execution)
    return pretrain(ctx, pretrain_config(STEPS, bias_speed=0.01)), reporter


def kill_a_worker():
    workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())]
    assert len(workers) == 2
    workers[1].kill()


def test_killed_and_stopped_training_ends_with_the_same_weights(ray_session, tmp_path):
    shards = make_training_shards(tmp_path)["text"]
    metrics, undisturbed = run(tmp_path / "undisturbed-1", shards)
    assert metrics["steps"] == STEPS
    assert 0 < metrics["step_share"] < 1
    assert metrics["result"] == f"loss {metrics['eval/loss']:.2f}"
    assert undisturbed.points[0][1]["train/loss"] > undisturbed.points[-2][1]["train/loss"]
    assert undisturbed.notes[-1][:2] == (STEPS, STEPS)

    output, seen = tmp_path / "disturbed-1", []
    reporter = At(EVERY, lambda: seen.append(True))
    with pytest.raises(Interrupted, match="stopped after step"):
        run(output, shards, reporter, should_stop=lambda: bool(seen))
    stopped = recorded(str(output))[-1].step
    assert EVERY <= stopped < STEPS

    reporter = At(stopped + 2 * EVERY + 1, kill_a_worker)
    run(output, shards, reporter, activation_checkpointing=True)
    assert reporter.messages[0] == f"resumed at step {stopped}"
    again = int(reporter.messages[1].removeprefix("resumed at step "))
    assert again >= stopped // EVERY * EVERY + EVERY  # complete, as the next checkpoint was begun

    names = ("model/model.safetensors", "model/config.json")
    for name in names:
        assert (output / name).read_bytes() == (tmp_path / "undisturbed-1" / name).read_bytes()
    model = from_pretrained(output / "model")
    assert model.config.dim == 32
    assert all(layer.selection_bias.any() for layer in expert_layers(model.decoder))
    assert [path.name for path in output.glob("step-*")] == [f"step-{STEPS:08d}"]
