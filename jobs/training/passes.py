"""Pass a batch forward and backward through an objective, as a whole or in micro-batches that need less memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from jobs.training.batching.batches import Batch
from jobs.training.objectives.base import Objective, StepContext
from jobs.training.objectives.global_sums import MicroBatchSums


def forward_backward(
    objective: Objective,
    batch: Batch,
    context: StepContext,
    precision: AbstractContextManager,
    micro_batches: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradients of this rank's share of the loss. Return this share and the metrics, both without gradients.

    With `micro_batches` of 2 or more, a pass without gradients comes first, for the counts of the whole global batch.
    Ranks reduce their gradients only after the last micro-batch.
    """
    if micro_batches == 1:
        with precision:
            loss, metrics = objective(batch, context)
        loss.backward()
        return loss.detach(), metrics
    parts, sums = list(cut(batch, micro_batches)), MicroBatchSums()
    for part in parts:
        with torch.no_grad(), precision, sums.micro_batch():
            objective(part, context)
    sums.reduce()
    losses: list[Tensor] = []
    together: dict[str, Tensor] = {}
    for number, part in enumerate(parts, 1):
        if isinstance(objective, FSDPModule):
            objective.set_requires_gradient_sync(number == len(parts))
        with precision, sums.micro_batch():
            loss, metrics = objective(part, context)
        loss.backward()
        losses.append(loss.detach())
        together = {name: pair + together[name] if together else pair for name, pair in metrics.items()}
    return torch.stack(losses).sum(), together


def cut(batch: Batch, parts: int) -> Iterator[Batch]:
    """Yield the rows of a batch in so many parts, about equally many in each. A text batch beside it is cut alike."""
    pieces = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    for number in range(parts):
        yield {name: piece[number] for name, piece in pieces.items()}
