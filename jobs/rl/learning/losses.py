"""Compute advantages, the clipped surrogate and divergences for IMPO and PPO.

Values of answers have shape [E, A], episodes by asked turns, and a mask says which turns exist. Values of the answers'
tokens are flat, with shape [N].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from jobs.training.objectives.base import global_count
from jobs.training.objectives.global_sums import global_sum

DISCOUNT = 0.99
GAE_DECAY = 0.95


class Advantages(NamedTuple):
    """Advantages, and the targets of the critic; both [E, A], 0 where the mask is False."""

    advantages: Tensor
    returns: Tensor


def impo_advantages(rewards: Tensor, values: Tensor, mask: Tensor, group: Tensor) -> Advantages:
    """The advantages of IMPO: the reward of each answer minus its expected reward, without credit from later turns."""
    return Advantages(centre((rewards - values) * mask, group) * mask, rewards * mask)


def gae_advantages(rewards: Tensor, values: Tensor, mask: Tensor, group: Tensor) -> Advantages:
    """Generalised advantage estimation over the turns of an episode (Schulman et al. 2016). Its end has value 0."""
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
    return Advantages(centre(advantages, group) * mask, (advantages + values) * mask)


def centre(values: Tensor, group: Tensor) -> Tensor:
    """Subtract, turn by turn, the mean over the episodes of the same `group` [E].

    These episodes answer the same question, and from the same memory as long as memory gets reference answers. So the
    rest is due to the answer. An episode that is alone in its group does not change.
    """
    groups = int(group.max()) + 1
    size = torch.bincount(group, minlength=groups)
    mean = values.new_zeros(groups, values.shape[1]).index_add(0, group, values) / size[:, None]
    return torch.where(size[group, None] > 1, values - mean[group], values)


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the variance of the values [n] of all ranks."""
    count = global_count(values.new_tensor(float(len(values))))
    mean = global_sum(values.sum()) / count
    return mean, global_sum((values - mean).square().sum()) / count


def normalise(values: Tensor) -> Tensor:
    """Scale the values [n] of all ranks to mean 0 and deviation 1."""
    mean, variance = moments(values)
    return (values - mean) / (variance.sqrt() + 1e-6)


def surrogate(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped objective of every token [N], to be maximised, and whether the clip limits it [N]."""
    ratio = (log_probs - old).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    outside = (ratio * advantages) > (clipped * advantages)
    return torch.minimum(ratio * advantages, clipped * advantages), outside


def divergence(log_probs: Tensor, other: Tensor, drawn: Tensor) -> Tensor:
    """KL(policy, other) estimated at each token [N] from tokens drawn with log-probabilities `drawn`.

    The estimate is p / p_drawn * (q/p - 1 - log(q/p)). It is unbiased, never negative, and exactly 0 for equal policies
    (Schulman 2020). Without the importance weights, tokens that have become unlikely would dominate.
    """
    log_ratio = other - log_probs
    return (log_probs - drawn).exp() * (log_ratio.exp() - 1 - log_ratio)


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Squared error per answer. A value that moves more than `clip` from its old one gains nothing by it (PPO)."""
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over all ranks: 1 for a perfect critic, 0 for one that knows only the
    mean."""
    return 1 - moments(returns - values)[1] / moments(returns)[1].clamp(min=1e-12)
