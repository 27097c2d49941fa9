"""The interface of a training objective: a module around the model whose forward returns the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from jobs.training.batching.batches import ROW, Batch
from jobs.training.objectives.global_sums import global_sum
from rxt_model.losses import TokenLoss
from rxt_model.model import TokenModel
from tokenization.hashing import stable_seed

Model = TypeVar("Model", bound=TokenModel)


@dataclass(frozen=True)
class StepContext:
    """The position in training, and its random numbers. `step` counts from 0. `seed` is that of this step alone.

    Every row of the global batch draws for itself, so what it draws does not depend on the ranks that share the batch.
    """

    step: int
    steps: int
    seed: int

    @property
    def fraction(self) -> float:
        return self.step / max(1, self.steps - 1)

    def generators(self, batch: Batch, purpose: str) -> list[torch.Generator]:
        """Return a generator for each row of `batch`, on its device. They depend on seed, row and `purpose` alone, so
        another call with the same purpose draws the same numbers again."""
        device = batch["input_ids"].device
        return [torch.Generator(device).manual_seed(stable_seed(self.seed, purpose, r)) for r in batch[ROW].tolist()]

    def draw(self, kind: Callable[..., Tensor], batch: Batch, purpose: str, *shape: int) -> Tensor:
        """Return the random numbers of each row, [B, *shape]. `kind` is `torch.rand` or `torch.randn`."""
        return torch.stack([kind(shape, generator=g, device=g.device) for g in self.generators(batch, purpose)])


class Objective(nn.Module, Generic[Model]):
    """`forward(batch, context)` returns this rank's share of the loss and its metrics.

    Every loss is a sum over this rank divided by the count over the **global** batch. So gradients are summed across
    ranks, never averaged. A metric is a tensor [sum, count] of shape [2], which the loop adds over ranks. `model` is
    the model that the stage saves.
    """

    model: Model

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def trained(self, step: int) -> list[nn.Module]:
        """Return the parts that are trained at `step`, by default all. Staged unfreezing overrides it."""
        return [self.model]


def global_count(count: Tensor) -> Tensor:
    """Return the sum of `count` over the global batch, at least 1, so that an empty batch does not divide by 0."""
    return global_sum(count).clamp(min=1.0)


def token_metrics(found: TokenLoss, kind: str = "") -> dict[str, Tensor]:
    """Return means per token: cross entropy in nats, accuracy, and squared log-sum-exp of the logits."""
    return {
        f"train/{kind}loss": metric(found.nats, found.count),
        f"train/{kind}accuracy": metric(found.correct, found.count),
        f"train/{kind}head_z": metric(found.z, found.count),
    }


def metric(total: Tensor, count: Tensor) -> Tensor:
    """Make a [sum, count] pair, which the loop adds up."""
    return torch.stack([total.detach().float(), count.detach().float().to(total.device)])
