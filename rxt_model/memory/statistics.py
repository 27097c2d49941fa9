"""Measure the size of memory slots and how much they differ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class MemoryStatistics(NamedTuple):
    """The root mean square and the effective rank over slots, each per layer [L]."""

    rms: Tensor
    effective_rank: Tensor


def memory_statistics(memory: Tensor) -> MemoryStatistics:
    """Measure memory [L, B, S, d] over the batch. The effective rank is exp(entropy of normalised singular values)."""
    values = torch.linalg.svdvals(memory.float())
    share = values / values.sum(-1, keepdim=True).clamp(min=1e-12)
    rank = (-(share * share.clamp(min=1e-12).log()).sum(-1)).exp().mean(-1)
    return MemoryStatistics(memory.float().pow(2).mean((1, 2, 3)).sqrt(), rank)


def rank_share(memory: Tensor) -> Tensor:
    """Return the effective rank of memory [L, B, S, d] as a share of the largest possible one, the smaller of S and d.
    It is that of the layer with least, [], and averaged over the batch."""
    return memory_statistics(memory).effective_rank.min() / min(memory.shape[2:])
