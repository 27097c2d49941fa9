"""The load-balancing loss over the global batch: only counts cross ranks, gradients stay local sums."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from rxt_model.moe import Routing, balance_loss


def global_balance_loss(routing: list[Routing]) -> Tensor:
    """This rank's share of the balance loss: shares of assignments and token counts are those of all ranks."""
    assignments = torch.stack([load.assignments for load in routing])
    tokens = torch.stack([load.tokens for load in routing])
    if dist.is_available() and dist.is_initialized():
        packed = torch.cat((assignments, tokens[:, None]), 1)
        dist.all_reduce(packed)
        assignments, tokens = packed[:, :-1], packed[:, -1]
    return balance_loss(
        [Routing(a, load.probabilities, t) for a, load, t in zip(assignments, routing, tokens, strict=True)]
    )
