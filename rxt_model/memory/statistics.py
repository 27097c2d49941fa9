"""How a memory looks: sizes of its slots, and whether they differ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class MemoryStatistics(NamedTuple):
    """Root mean square per layer [L], and effective rank over slots per layer [L]."""

    rms: Tensor
    effective_rank: Tensor


def memory_statistics(memory: Tensor) -> MemoryStatistics:
    """Statistics of memory [L, B, S, d], averaged over the batch; effective rank = exp(entropy of singular values)."""
    values = torch.linalg.svdvals(memory.float())
    share = values / values.sum(-1, keepdim=True).clamp(min=1e-12)
    rank = (-(share * share.clamp(min=1e-12).log()).sum(-1)).exp().mean(-1)
    return MemoryStatistics(memory.float().pow(2).mean((1, 2, 3)).sqrt(), rank)
