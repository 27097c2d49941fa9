"""The arithmetic of IMPO and PPO on tensors: advantages, the clipped surrogate, divergences.

Dense shapes [E, A] are episodes by answered turns with a mask of the turns that exist; flat token values [N] belong
to answers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DISCOUNT = 0.99
GAE_DECAY = 0.95


class Advantages(NamedTuple):
    """Both [E, A], 0 where the mask is False: normalised advantages, and what the critic should have said."""

    advantages: Tensor
    returns: Tensor


def impo_advantages(rewards: Tensor, values: Tensor, mask: Tensor, group: Tensor) -> Advantages:
    """Each answer on its own: reward minus expectation, no credit from later turns."""
    return Advantages(normalise(centre((rewards - values) * mask, group), mask), rewards * mask)


def gae_advantages(rewards: Tensor, values: Tensor, mask: Tensor, group: Tensor) -> Advantages:
    """Generalised advantage estimation over the turns of an episode (Schulman et al. 2016); it ends with value 0."""
    advantage = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(advantage)
    columns = []
    for turn in reversed(range(rewards.shape[1])):
        real = mask[:, turn].to(rewards.dtype)
        delta = rewards[:, turn] + DISCOUNT * following - values[:, turn]
        advantage = (delta + DISCOUNT * GAE_DECAY * advantage) * real
        following = values[:, turn] * real
        columns.append(advantage)
    advantages = torch.stack(columns[::-1], 1)
    return Advantages(normalise(centre(advantages, group), mask), (advantages + values) * mask)


def centre(values: Tensor, group: Tensor) -> Tensor:
    """Minus the mean over the episodes of the same group [E], turn by turn: they answer the same question, from the
    same memory as long as that is told reference answers, so what is left is the answer's own merit. An episode that
    is alone in its group stays as it is."""
    groups = int(group.max()) + 1
    size = torch.bincount(group, minlength=groups)
    mean = values.new_zeros(groups, values.shape[1]).index_add(0, group, values) / size[:, None]
    return torch.where(size[group, None] > 1, values - mean[group], values)


def normalise(values: Tensor, mask: Tensor) -> Tensor:
    """Zero mean and unit deviation over the real entries; 0 elsewhere."""
    real = values[mask]
    deviation = real.std(unbiased=False)
    return (values - real.mean()) / (deviation + 1e-6) * mask


def surrogate(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped objective of every token [N], to be maximised, and which tokens the clip holds back [N]."""
    ratio = (log_probs - old).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    outside = (ratio * advantages) > (clipped * advantages)
    return torch.minimum(ratio * advantages, clipped * advantages), outside


def divergence(log_probs: Tensor, other: Tensor, drawn: Tensor) -> Tensor:
    """KL(policy, other) estimated at each token [N] from tokens drawn with log-probabilities `drawn`.

    p / p_drawn * (q/p - 1 - log(q/p)): unbiased (Schulman 2020, with importance weights, without which tokens that
    have become unlikely would dominate), never negative, exactly 0 for equal policies.
    """
    log_ratio = other - log_probs
    return (log_probs - drawn).exp() * (log_ratio.exp() - 1 - log_ratio)


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Squared error per answer; a value that moved more than `clip` from its old one gains nothing by it (PPO)."""
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns): 1 is a perfect critic, 0 one that knows only the mean."""
    return 1 - (returns - values).var(unbiased=False) / returns.var(unbiased=False).clamp(min=1e-12)
