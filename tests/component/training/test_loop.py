"""The loop without Ray: resume, freezing, stopping, losses that are NaN or infinite."""

import math

import pytest
import torch
import torch.distributed as dist

from jobs.training.checkpoints import recorded
from jobs.training.loop import Cadence, NotFinite, evaluate, train
from jobs.training.optimizers.stage import StageOptimizer, learning_rate
from rxt_model.config import MoEConfig
from tests.support.ranks import on_ranks
from tests.support.training_toys import Run, part_of, stopping_at, toy_batch, toy_model, toy_training


def sharded(rank, folder):
    undisturbed = Run(f"{folder}/undisturbed", 6, world_size=2, bias_speed=0.01)
    outcome = undisturbed.go()
    assert (outcome.step, outcome.interrupted, undisturbed.registered) == (6, False, [2, 4, 6])

    first = Run(f"{folder}/resumed", 6, world_size=2, bias_speed=0.01)
    stopped = first.go(should_stop=stopping_at(2) if rank == 1 else lambda: False)
    assert (stopped.step, stopped.interrupted, first.registered) == (3, True, [2, 3])
    second = Run(f"{folder}/resumed", 6, world_size=2, bias_speed=0.01)
    second.go()
    assert (second.started_at, second.registered) == (3, [4, 6])
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.weights(), second.weights(), strict=True))

    third = Run(f"{folder}/resumed", 6, world_size=2, bias_speed=0.01)
    third.go()
    assert (third.started_at, third.registered) == (6, [])  # a finished stage: nothing is trained twice

    poisoned = Run(f"{folder}/poisoned", 6, world_size=2, bias_speed=0.01)
    poison(poisoned.objective, steps=(2, 3, 4), rank=1)
    kept, told = [], []
    with pytest.raises(NotFinite, match=r"^loss is not finite \(nan on rank 1\) at step 4, as in the 2 steps before$"):
        poisoned.go(tell=told.append, save_batch=lambda step, batch: kept.append((step, batch)))
    assert poisoned.registered == [2, 4] and len(told) == 2
    ((step, batch),) = kept
    assert step == 4 and torch.equal(batch["input_ids"], part_of(toy_batch(4), rank, 2)["input_ids"])
    with_muon(f"{folder}/muon")
    if rank == 0:
        torch.save([w.clone() for w in second.weights()], f"{folder}/weights.pt")
    else:
        second.weights()


def with_muon(folder):
    """Check that a run that was stopped between two checkpoints goes on bit for bit with Muon, too."""
    changes = {"world_size": 2, "optimizer": toy_training(1).optimizer.model_copy(update={"matrices": "muon"})}
    undisturbed = Run(f"{folder}/undisturbed", 5, **changes)
    undisturbed.go()
    assert Run(f"{folder}/resumed", 5, **changes).go(should_stop=stopping_at(2)).step == 3
    second = Run(f"{folder}/resumed", 5, **changes)
    second.go()
    assert second.started_at == 3
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.weights(), second.weights(), strict=True))
    momenta = [run.optimizer.muon.state.values() for run in (undisturbed, second)]
    for a, b in zip(*momenta, strict=True):
        assert torch.equal(a["momentum_buffer"].to_local(), b["momentum_buffer"].to_local())


def poison(objective, steps, rank=0):
    forward = objective.forward

    def poisoned(batch, context):
        loss, metrics = forward(batch, context)
        mine = dist.get_rank() if dist.is_initialized() else 0
        return (loss * math.nan if context.step in steps and mine == rank else loss), metrics

    objective.forward = poisoned


def test_two_ranks_resume_bit_for_bit_and_one_rank_loads_what_they_saved(tmp_path):
    on_ranks(2, sharded, str(tmp_path))
    assert [entry.step for entry in recorded(str(tmp_path / "poisoned"))] == [2, 4]

    alone = Run(tmp_path / "resumed", 6, bias_speed=0.01)
    assert alone.checkpointer.restore() == 6
    saved = torch.load(tmp_path / "weights.pt")
    assert all(torch.equal(a, b) for a, b in zip(alone.weights(), saved, strict=True))
    assert alone.objective.model.decoder.final[0].feed_forward.selection_bias.any()


def test_single_steps_that_are_not_finite_change_nothing_and_are_counted(tmp_path):
    run, told, weights = Run(tmp_path, 5, bias_speed=0.01), [], {}
    poison(run.objective, steps=(1, 3))

    def note(done, values):
        weights[done] = [weight.clone() for weight in run.weights()]

    outcome = run.go(tell=told.append, log=note)
    assert told == [f"loss is not finite (nan on rank 0) at step {step}, which is skipped" for step in (1, 3)]
    assert outcome.values["train/skipped_steps"] == 2 and math.isfinite(outcome.values["train/loss"])
    for done in range(2, 6):
        same = all(torch.equal(a, b) for a, b in zip(weights[done - 1], weights[done], strict=True))
        assert same == (done in (2, 4))


def test_frozen_parts_are_untouched_and_moments_survive_the_switch(tmp_path):
    run = Run(tmp_path, 6, frozen_until=3)
    encoder = list(run.objective.model.encoder.parameters())
    head = run.objective.model.decoder.head.weight
    before = [p.clone() for p in encoder]
    moments = {}

    def watch(done, values):
        if done == 3:
            assert all(torch.equal(a, b) for a, b in zip(before, encoder, strict=True))
            assert all(run.optimizer.adamw.state[p]["step"] == 0 for p in encoder)
            moments["head"] = run.optimizer.adamw.state[head]["exp_avg"]

    run.go(log=watch)
    assert run.optimizer.adamw.state[head]["exp_avg"] is moments["head"]
    assert run.optimizer.adamw.state[head]["step"] == 6
    assert all(run.optimizer.adamw.state[p]["step"] == 3 for p in encoder)
    assert not any(torch.equal(a, b) for a, b in zip(before, encoder, strict=True))


def test_a_run_that_was_killed_after_its_last_checkpoint_still_tells_its_loss(tmp_path):
    first = Run(tmp_path, 4).go(validation=toy_batch(99))
    again = Run(tmp_path, 4).go(validation=toy_batch(99))
    assert again.step == 4 and again.seconds == 0
    assert again.values == {name: value for name, value in first.values.items() if name.startswith("eval/")} != {}


def test_metrics_are_means_over_the_interval_and_the_evaluation_does_not_train(tmp_path):
    run = Run(tmp_path, 2)
    points = {}
    outcome = run.go(log=lambda done, values: points.setdefault(done, dict(values)), validation=toy_batch(99))
    assert points.keys() == {1, 2}
    assert points[1]["train/lr"] == learning_rate(run.config.optimizer, 0, 2)
    assert outcome.tokens == sum((toy_batch(step)["input_ids"] != 0).sum().item() for step in (0, 1))
    weights = [w.clone() for w in run.weights()]
    again = evaluate(run.objective, toy_batch(99), run.config)
    assert again["eval/loss"] == outcome.values["eval/loss"] != outcome.values["train/loss"]
    assert all(torch.equal(a, b) for a, b in zip(weights, run.weights(), strict=True))


def test_the_share_of_time_in_which_a_step_waits_for_data(tmp_path, monkeypatch):
    """A clock on which a batch takes 3 seconds, and the step after it 1."""
    now = [0.0]
    monkeypatch.setattr("jobs.training.loop.time.perf_counter", lambda: now[0])
    run, found = Run(tmp_path, 4), []
    run.objective.register_forward_pre_hook(lambda *_: now.__setitem__(0, now[0] + 1))

    def batch_at(step):
        now[0] += 3
        return toy_batch(step)

    train(run.objective, run.optimizer, batch_at, run.config, Cadence(log=2, checkpoint=9),
          log=lambda done, values: found.append(values["train/data_wait"]))  # fmt: skip
    assert found == [0.75, 0.75]


def test_bfloat16_keeps_weights_and_moments_in_float32(tmp_path):
    run = Run(tmp_path, 2, precision="bfloat16")
    exact = Run(tmp_path / "exact", 2)
    close, reference = run.go().values, exact.go().values
    assert close["train/loss"] == pytest.approx(reference["train/loss"], rel=2e-2)
    assert close["train/loss"] != reference["train/loss"]
    assert {p.dtype for p in run.objective.parameters()} == {torch.float32}


def test_the_schedule_warms_up_and_decays():
    config = toy_training(10).optimizer
    rates = [learning_rate(config, step, 10) for step in range(10)]
    assert rates[:2] == [config.lr / 2, config.lr]
    assert rates[2] == config.lr
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(config.lr * config.final_lr)


def test_matrices_decay_and_vectors_do_not():
    model = toy_model(moe=MoEConfig(experts=4, top_k=2, expert_dim=8, bias="expert"))
    optimizer = StageOptimizer(model, toy_training(1).optimizer, 1)
    decayed = {id(p) for group in optimizer.adamw.param_groups if group["weight_decay"] for p in group["params"]}
    names = {name.rsplit(".", 1)[-1] for name, p in model.named_parameters() if id(p) not in decayed}
    assert {"bias", "b_in", "b_out", "slot_identity"} <= names and not names & {"w_in", "w_out"}
    assert id(model.embedding.weight) not in decayed and id(model.decoder.head.weight) in decayed
