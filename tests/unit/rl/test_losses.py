"""The arithmetic of the objectives against plain loops and exact values on a toy vocabulary."""

from __future__ import annotations

import pytest
import torch

from jobs.rl.held_out import compare
from jobs.rl.learning.losses import (
    DISCOUNT,
    GAE_DECAY,
    centre,
    clipped_value_loss,
    divergence,
    explained_variance,
    gae_advantages,
    impo_advantages,
    normalise,
    surrogate,
)
from jobs.rl.policy import mean_per_answer

MASK = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
ALONE = torch.arange(3)


def test_divergence_is_zero_between_equal_policies_and_unbiased_whoever_drew_the_samples():
    torch.manual_seed(0)
    p, q, drawn = torch.randn(3, 7).log_softmax(-1)
    exact = (p.exp() * (p - q)).sum()
    for sampler in (p, drawn):
        expected = (sampler.exp() * divergence(p, q, sampler)).sum()  # over the whole toy vocabulary
        assert expected.item() == pytest.approx(exact.item(), abs=1e-6)
    assert divergence(p, p, drawn).abs().max() == 0
    assert divergence(p, q, drawn).min() >= 0


def test_gradient_of_the_divergence_is_that_of_the_exact_one():
    torch.manual_seed(0)
    logits, q, drawn = torch.randn(7, requires_grad=True), *torch.randn(2, 7).log_softmax(-1)
    p = logits.log_softmax(-1)
    (exact,) = torch.autograd.grad((p.exp() * (p - q)).sum(), logits, retain_graph=True)
    (found,) = torch.autograd.grad((drawn.exp() * divergence(p, q, drawn)).sum(), logits)
    assert torch.allclose(found, exact, atol=1e-6)


def test_surrogate_takes_the_worse_of_clipped_and_unclipped():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    gain, held = surrogate(ratio.log(), torch.zeros(5), advantage, 0.2)
    assert gain.tolist() == pytest.approx([1.2, -1.5, 0.5, -0.8, 2.2], abs=1e-6)
    assert held.tolist() == [True, False, False, True, False]


def test_impo_advantages_are_those_of_the_answers_that_exist():
    torch.manual_seed(0)
    rewards, values = torch.rand(3, 3), torch.rand(3, 3)
    found = impo_advantages(rewards, values, MASK, ALONE)
    assert torch.equal(found.advantages[MASK], (rewards - values)[MASK])
    assert (found.advantages[~MASK] == 0).all()
    assert torch.equal(found.returns[MASK], rewards[MASK])


def test_normalised_values_have_mean_0_and_deviation_1():
    values = torch.tensor([1.0, 3.0, 8.0])
    expected = (values - values.mean()) / (values.std(unbiased=False) + 1e-6)
    assert torch.allclose(normalise(values), expected)


def test_generalised_advantages_equal_the_sum_over_later_turns():
    torch.manual_seed(0)
    rewards, values = torch.rand(3, 3), torch.rand(3, 3)
    found = gae_advantages(rewards * MASK, values * MASK, MASK, ALONE)
    for row, length in enumerate(MASK.sum(1).tolist()):
        r, v = rewards[row, :length].tolist(), [*values[row, :length].tolist(), 0.0]
        deltas = [r[t] + DISCOUNT * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            advantage = sum((DISCOUNT * GAE_DECAY) ** (k - t) * deltas[k] for k in range(t, length))
            assert found.advantages[row, t].item() == pytest.approx(advantage, abs=1e-6)
            assert found.returns[row, t].item() == pytest.approx(advantage + v[t], abs=1e-6)


def test_answers_to_the_same_question_are_judged_against_each_other():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [7.0, 2.0]])
    found = centre(values, torch.tensor([0, 0, 1]))
    assert found.tolist() == [[-1, 0], [1, 0], [7, 2]]


def test_value_loss_gains_nothing_by_leaving_the_old_value_far_behind():
    old, returns = torch.zeros(2), torch.ones(2)
    loss = clipped_value_loss(torch.tensor([0.1, 0.9]), old, returns, 0.2)
    assert loss.tolist() == pytest.approx([0.81, 0.64])


def test_explained_variance_of_a_perfect_and_of_a_constant_critic():
    returns = torch.tensor([0.0, 1.0, 2.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(torch.ones(3), returns) == 0


def test_token_means_are_taken_once_per_answer_and_empty_answers_count_zero():
    assert mean_per_answer(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), 3).tolist() == [2, 0, 5]


def test_held_out_comparison_is_paired():
    """Differences between episodes are large, and the gain is small and constant, so only pairing finds it."""
    before = [float(i) for i in range(200)]
    report = compare(before, [value + 0.1 + 0.001 * (i % 2) for i, value in enumerate(before)])
    assert report["episodes"] == 200
    assert 0.1 < report["difference"]["low"] < report["difference"]["mean"] < report["difference"]["high"] < 0.101
    assert report["after"]["low"] < report["before"]["high"]
