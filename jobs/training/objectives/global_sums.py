"""Sums over the global batch: over all ranks, and over the micro-batches that each rank cuts its part into.

What a micro-batch counts alone would make the loss depend on how a batch is cut. So a first pass without gradients adds
up what all of them count, and a second pass gives every micro-batch these sums.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist
from torch import Tensor


class MicroBatchSums:
    """The sums of one step, in the order in which the objective asks for them. The order must be the same for every
    micro-batch and on all ranks."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._place = 0
        self._counting = True

    @contextmanager
    def micro_batch(self) -> Generator[None]:
        """In this context `global_sum` adds to these sums, or after `reduce` returns them."""
        self._place = 0
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def reduce(self) -> None:
        """Add up over all ranks, in one reduction. Then the sums are whole."""
        whole = _over_ranks(torch.cat([part.flatten() for part in self._sums]))
        pieces = whole.split([part.numel() for part in self._sums])
        self._sums = [piece.view_as(part) for piece, part in zip(pieces, self._sums, strict=True)]
        self._counting = False

    def exchange(self, own: Tensor) -> Tensor:
        """Take the share of this micro-batch in the next sum, or return that sum."""
        place, self._place = self._place, self._place + 1
        if not self._counting:
            return self._sums[place].clone()
        if place == len(self._sums):
            self._sums.append(torch.zeros_like(own))
        self._sums[place] += own
        return own


_current: ContextVar[MicroBatchSums | None] = ContextVar("micro_batch_sums", default=None)


def global_sum(own: Tensor) -> Tensor:
    """Return the sum of `own` over the global batch in fp32, without gradient."""
    own, sums = own.detach().clone().float(), _current.get()
    return _over_ranks(own) if sums is None else sums.exchange(own)


def _over_ranks(tensor: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor
