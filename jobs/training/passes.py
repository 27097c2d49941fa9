"""Pass a batch forward and backward through an objective, as a whole or in micro-batches that need less memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from jobs.training.batching.batches import Batch
from jobs.training.objectives.global_sums import MicroBatchSums


def forward_backward(
    objective: nn.Module, parts: Sequence[tuple[Any, ...]], precision: AbstractContextManager
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradients of this rank's share of the loss. Return this share and the metrics, both without gradients.

    `parts` are micro-batches, each as the arguments of the objective. If there are several, a pass without gradients
    comes first, for the counts of the whole global batch. Ranks reduce their gradients only after the last part.
    """
    if len(parts) == 1:
        with precision:
            loss, metrics = objective(*parts[0])
        loss.backward()
        return loss.detach(), metrics
    sums = MicroBatchSums()
    for part in parts:
        with torch.no_grad(), precision, sums.micro_batch():
            objective(*part)
    sums.reduce()
    losses: list[Tensor] = []
    together: dict[str, Tensor] = {}
    for number, part in enumerate(parts, 1):
        if isinstance(objective, FSDPModule):
            objective.set_requires_gradient_sync(number == len(parts))
        with precision, sums.micro_batch():
            loss, metrics = objective(*part)
        loss.backward()
        losses.append(loss.detach())
        together = {name: pair + together[name] if together else pair for name, pair in metrics.items()}
    return torch.stack(losses).sum(), together


def cut(batch: Batch, parts: int) -> Iterator[Batch]:
    """Yield the rows of a batch in so many parts, about equally many in each. A text batch beside it is cut alike."""
    pieces = {name: tensor.tensor_split(parts) for name, tensor in batch.items()}
    for number in range(parts):
        yield {name: piece[number] for name, piece in pieces.items()}
