"""The routing losses over the global batch. Ranks exchange sums without gradients; gradients stay local."""

from __future__ import annotations

import torch
from torch import Tensor

from jobs.configs.rl import MrlConfig
from jobs.configs.training import OptimisationConfig
from jobs.training.objectives.base import metric
from jobs.training.objectives.global_sums import global_sum
from rxt_model.moe.layer import Routing, balance_loss, router_z_loss


def routing_loss(routing: list[Routing], config: OptimisationConfig | MrlConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Return this rank's share of the weighted balance and z-losses, and routing metrics over all ranks."""
    everyone = _over_ranks(routing)
    # the terms with a gradient are this rank's own; the counts are those of all ranks
    shares = [
        Routing(world.assignments, own.probabilities, world.tokens, own.z)
        for world, own in zip(everyone, routing, strict=True)
    ]
    loss = config.balance_weight * balance_loss(shares)
    if config.router_z_weight:
        loss = loss + config.router_z_weight * router_z_loss(shares)
    return loss, _metrics(everyone)


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
