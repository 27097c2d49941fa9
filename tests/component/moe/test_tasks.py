"""The tasks of two shared experts, thinking and fast answers: the loss by hand, over micro-batches, and its effect."""

import math

import pytest
import torch

from jobs.configs.training import JointLossConfig, OptimizerConfig, SftConfig
from jobs.stage.context import StageError
from jobs.training.loop import step_context
from jobs.training.objectives.balance import Tasks, routing_loss
from jobs.training.objectives.global_sums import MicroBatchSums
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.optimizers.stage import StageOptimizer
from pipelines.fingerprint import fingerprint, plain
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from rxt_model.config import ControlTokens
from rxt_model.moe.layer import Routing
from tests.support.training_toys import numbered, toy_model

TOKENS = ControlTokens()
QUERY, ANSWER, THINK, END = TOKENS.query, TOKENS.answer, TOKENS.think, TOKENS.eos
THINKING = [QUERY, 20, THINK, 21, 22, ANSWER, 23, END]
SHORT = [QUERY, 24, 25, ANSWER, 26, END, 0, 0]
SAID = [QUERY, 27, 28, 29, 0, 0, 0, 0]
CONFIG = SftConfig(steps=1, batch_size=3, balance_weight=0, task_weight=0.5, task_smoothing=0.1)


def drawn(rows, seed=0):
    """Return the tasks of these rows, and gates of two layers [tokens, 2] with their routings."""
    ids = torch.tensor(rows)
    real = ids != 0
    generator = torch.Generator().manual_seed(seed)
    gates = [torch.randn(int(real.sum()), 2, generator=generator).double().requires_grad_() for _ in range(2)]
    return Tasks.of(ids, real, TOKENS), gates


def routing_of(gates):
    load = torch.ones(4), torch.ones(4), torch.ones(()), torch.ones(())
    return [Routing(*load, gate.softmax(-1)) for gate in gates]


def by_hand(rows, gates, smoothing):
    """Cross entropy of each answer's mean, averaged; and the divergence of the mean of all other tokens."""
    total = 0
    for gate in gates:
        weights, at, entropies, others = gate.softmax(-1), 0, [], []
        for row in rows:
            kept = [token for token in row if token]
            begins = next((kept.index(t) for t in (THINK, ANSWER) if t in kept), len(kept))
            others += list(weights[at : at + begins])
            if begins < len(kept):
                mean = torch.stack(list(weights[at + begins : at + len(kept)])).mean(0)
                own = 0 if THINK in kept else 1
                entropies.append(-(1 - smoothing) * mean[own].log() - smoothing * mean[1 - own].log())
            at += len(kept)
        p = torch.stack(others).mean(0)
        total = total + sum(entropies) / len(entropies) + (p * (2 * p).log()).sum()
    return total / len(gates)


def test_tasks_are_read_from_the_template():
    tasks = drawn([THINKING, SHORT, SAID])[0]
    assert tasks.task.tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2]
    assert tasks.row.tolist() == [0] * 8 + [1] * 6 + [2] * 4


def test_the_loss_and_its_gradient_by_hand():
    rows = [THINKING, SHORT, SAID, SHORT]
    tasks, gates = drawn(rows)
    loss, metrics = routing_loss(routing_of(gates), CONFIG, tasks)
    expected = 0.5 * by_hand(rows, gates, 0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for mine, theirs in zip(*(torch.autograd.grad(side, gates) for side in (loss, expected)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)
    weights = torch.stack([gate.softmax(-1)[:, 0] for gate in gates])
    gap = weights[:, tasks.task == 0].mean() - weights[:, tasks.task == 1].mean()
    assert metrics["router/shared_gap"].tolist() == pytest.approx([gap.item(), 1], rel=1e-5)


def test_micro_batches_share_the_loss_of_the_whole():
    """One of them has no thinking, the other no fast answer."""
    rows = [THINKING, SAID, SHORT, SHORT]
    gates = drawn(rows)[1]
    sizes = [sum(token > 0 for row in part for token in row) for part in (rows[:2], rows[2:])]
    pieces = [routing_of(p) for p in zip(*(gate.split(sizes) for gate in gates), strict=True)]
    sums = MicroBatchSums()
    for again in (False, True):
        total = 0
        for part, piece in zip((rows[:2], rows[2:]), pieces, strict=True):
            with sums.micro_batch():
                total = total + routing_loss(piece, CONFIG, drawn(part)[0])[0]
        if not again:
            sums.reduce()
    expected = 0.5 * by_hand(rows, gates, 0.1)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, theirs in zip(*(torch.autograd.grad(side, gates) for side in (total, expected)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)


def test_gates_that_specialise_by_token_but_are_balanced_have_no_loss():
    tasks = drawn([SAID])[0]
    gates = [torch.tensor([[40.0, 0.0], [0.0, 40.0], [0.0, 40.0], [40.0, 0.0]])]
    loss, metrics = routing_loss(routing_of(gates), CONFIG, tasks)
    assert loss.abs().item() < 1e-6 and metrics["router/shared_gap"].tolist() == [0, 0]
    one_sided = routing_loss(routing_of([torch.tensor([[40.0, 0.0]] * 4)]), CONFIG, tasks)[0]
    assert one_sided.item() == pytest.approx(0.5 * math.log(2), rel=1e-5)


def trained_gap(weight):
    config = SftConfig(
        steps=40,
        batch_size=4,
        task_weight=weight,
        loss=JointLossConfig(mlm_probability=0.5),
        optimizer=OptimizerConfig(lr=1e-2, warmup_steps=0),
    )
    objective, metrics = JointLM(toy_model(), config), {}
    optimizer = StageOptimizer(objective, config.optimizer, config.steps)
    ids = torch.tensor([THINKING, SHORT, THINKING, SHORT])
    for step in range(config.steps):
        optimizer.begin(step, objective.trained(step))
        loss, metrics = objective(numbered({"input_ids": ids, "loss_mask": ids > 0}), step_context(config, step))
        loss.backward()
        optimizer.step()
    return metrics


def test_training_parts_the_gates():
    gap, count = trained_gap(1.0)["router/shared_gap"].tolist()
    assert count == 1 and gap > 0.4
    assert "router/shared_gap" not in trained_gap(0.0)


def test_two_shared_experts_are_needed():
    more = ["sft.task_weight=0.01", "pretrain.model.moe.shared_experts=3"]
    with pytest.raises(StageError, match=r"sft.task_weight: must be 0 with moe.shared_experts = 3"):
        resolve(PRESETS["tiny"](), sets=more)
    assert resolve(PRESETS["tiny"](), sets=more[:1]).sft.task_weight == 0.01


def test_results_from_before_keep_their_fingerprints():
    """Keys that came later have no part in an identity as long as they have their defaults."""
    tiny = PRESETS["tiny"]()
    before, whole = plain(tiny.sft, whole=False), plain(tiny.sft)
    assert "task_weight" not in before and whole["task_weight"] == 0
    assert "delta" not in plain(tiny.pretrain, whole=False)["model"] and plain(tiny.pretrain)["model"]["delta"] is None
    changed = tiny.sft.model_copy(update={"task_weight": 0.01})
    assert plain(changed, whole=False)["task_weight"] == 0.01
    assert fingerprint(plain(changed, whole=False)) != fingerprint(before)
