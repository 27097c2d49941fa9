"""The routing losses over the global batch. Ranks exchange sums without gradients; gradients stay local.

Shared experts may have tasks: let g be the weights of both at a token, averaged over the thinking and its answer of an
interaction, or over a fast answer. With the smoothing s and the targets (1 - s, s) or (s, 1 - s), the loss is their
cross entropy -sum_i target_i log g_i, averaged over answers. Of all other tokens, only the mean of g over the batch has
a loss: its KL divergence from (1/2, 1/2), so that single tokens may specialise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from jobs.configs.rl import MrlConfig
from jobs.configs.training import OptimisationConfig, TaskConfig
from jobs.training.objectives.base import metric
from jobs.training.objectives.global_sums import global_sum
from rxt_model.config import ControlTokens
from rxt_model.layers.parts import wide
from rxt_model.moe.layer import Routing, balance_loss, router_z_loss

THINKING, FAST, OTHER = 0, 1, 2


class Tasks(NamedTuple):
    """For the real tokens [R] of a batch of B interactions: the `task` of each, its `row`, and the number of `rows`."""

    task: Tensor
    row: Tensor
    rows: int

    @classmethod
    def of(cls, ids: Tensor, real: Tensor, tokens: ControlTokens) -> Tasks:
        """Read the tasks of ids [B, T] from the template: from the first [T] on, a token belongs to thinking, and from
        the first [A] on, in a row without [T], to a fast answer."""
        thinking, answering = ((ids == token).cumsum(1) > 0 for token in (tokens.think, tokens.answer))
        fast = answering & ~thinking[:, -1:]
        task = torch.where(thinking, THINKING, torch.where(fast, FAST, OTHER))
        row = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)
        return cls(task[real], row[real], len(ids))


def routing_loss(
    routing: list[Routing], config: OptimisationConfig | MrlConfig, tasks: Tasks | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return this rank's share of the weighted balance and z-losses, and routing metrics over all ranks. If `config`
    gives the shared experts tasks, the loss of `tasks` is among them."""
    everyone = _over_ranks(routing)
    # the terms with a gradient are this rank's own; the counts are those of all ranks
    shares = [
        Routing(world.assignments, own.probabilities, world.tokens, own.z)
        for world, own in zip(everyone, routing, strict=True)
    ]
    loss = config.balance_weight * balance_loss(shares)
    if config.router_z_weight:
        loss = loss + config.router_z_weight * router_z_loss(shares)
    metrics = _metrics(everyone)
    if tasks is not None and isinstance(config, TaskConfig) and config.task_weight:
        task, found = _task_loss(routing, tasks, config.task_smoothing)
        loss, metrics = loss + config.task_weight * task, metrics | found
    return loss, metrics


def _task_loss(routing: list[Routing], tasks: Tasks, smoothing: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return this rank's share of the loss, averaged over layers, and its metrics. `router/shared_gap` is by how much
    the mean weight of the first expert is larger in thinking than in fast answers."""
    gates = torch.stack([wide(load.shared) for load in routing if load.shared is not None])  # [layers, R, 2]
    layers, experts = gates.shape[0], gates.shape[2]
    # the sums of each answer, one for every pair of row and task
    place = tasks.row * 3 + tasks.task
    sums = gates.new_zeros(layers, 3 * tasks.rows, experts).index_add(1, place, gates).unflatten(1, (-1, 3))
    counts = torch.bincount(place, minlength=3 * tasks.rows).view(-1, 3)
    there = counts[:, :OTHER] > 0
    means = sums[:, :, :OTHER] / counts[:, :OTHER, None].clamp(min=1)
    first = gates.new_tensor([1 - smoothing, smoothing])
    targets = torch.stack((first, first.flip(0)))
    crossed = -(targets * torch.where(there[..., None], means, 1).clamp(min=1e-9).log()).sum(-1)

    own = torch.cat((sums.sum(1).flatten(), counts.sum(0), there.sum()[None]))
    world = global_sum(own)
    totals, (thinking, fast, other, answers) = world[:-4].view(layers, 3, experts), world[-4:]
    mean = totals[:, OTHER] / other.clamp(min=1)
    # this share has the value and, as weights sum to 1, the gradient of the divergence of the global mean
    tilt = (experts * mean).clamp(min=1e-9).log()
    divergence = (sums[:, :, OTHER].sum(1) / other.clamp(min=1) * tilt).sum(-1).mean()
    entropy = crossed.sum() / layers / answers.clamp(min=1)
    weight = totals[:, :, 0].mean(0) / world[-4:-1].clamp(min=1)
    gap, both = weight[THINKING] - weight[FAST], ((thinking > 0) & (fast > 0)).float()
    metrics = {
        "router/shared_gap": metric(gap * both, both),
        "router/shared_thinking": metric(weight[THINKING] * (thinking > 0), thinking > 0),
        "router/shared_fast": metric(weight[FAST] * (fast > 0), fast > 0),
        "router/shared_task": metric(crossed.sum() / layers, there.sum()),
    }
    return entropy + divergence, metrics


def _over_ranks(routing: list[Routing]) -> list[Routing]:
    """Sum the load over the global batch, without gradient and in one reduction for all layers."""
    packed = torch.stack(
        [torch.cat((r.assignments, r.probabilities.detach(), r.tokens[None], r.z.detach()[None])) for r in routing]
    )
    packed = global_sum(packed)
    experts = routing[0].assignments.numel()
    return [Routing(row[:experts], row[experts:-2], row[-2], row[-1]) for row in packed.unbind(0)]


def _metrics(everyone: list[Routing]) -> dict[str, Tensor]:
    """Return the routing metrics of the global batch.

    `max_load` is the load of the busiest expert, as a multiple of its layer's mean. `dead_experts` counts the experts
    of all layers that got no token. `entropy` is that of the mean router distribution in nats, log E at best.
    `balance` and `z` are the losses without their weights.
    """
    assignments = torch.stack([load.assignments for load in everyone])
    means = torch.stack([load.probabilities / load.tokens.clamp(min=1) for load in everyone])
    found = {
        "max_load": (assignments.amax(1) / assignments.mean(1).clamp(min=1e-9)).max(),
        "dead_experts": (assignments == 0).sum(),
        "entropy": torch.special.entr(means).sum(1).mean(),
        "balance": balance_loss(everyone),
        "z": router_z_loss(everyone),
    }
    return {f"router/{name}": metric(value, torch.ones(())) for name, value in found.items()}
