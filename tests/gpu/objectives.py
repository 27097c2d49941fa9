"""One step of every objective in fp32 on the device, against the same step on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from jobs.configs.execution import TrainExecution
from jobs.training.batching.batches import ROW, Batch
from jobs.training.loop import precision
from jobs.training.objectives.base import StepContext
from jobs.training.passes import forward_backward
from jobs.training.rank import prepare
from tests.support.stages.configs import STAGES, make_world, stage_parts

STEP = 8  # of the last phase, in which everything is trained
LIMITS = {"loss": 1e-5, "gradient": 1e-3}


class DrawnOnTheCpu(StepContext):
    """A device has random numbers of its own. Those of the CPU can be compared."""

    def generators(self, batch: Batch, purpose: str) -> list[torch.Generator]:
        return super().generators({"input_ids": torch.empty(0), ROW: batch[ROW]}, purpose)

    def draw(self, kind: Callable[..., Tensor], batch: Batch, purpose: str, *shape: int) -> Tensor:
        return super().draw(kind, batch, purpose, *shape).to(batch["input_ids"].device)


def check(device: torch.device, folder: Path) -> Iterator[dict]:
    uris = make_world(folder)
    for name in STAGES:
        expected, found = (step(name, uris, place) for place in (torch.device("cpu"), device))
        errors = {
            key: ((found[key] - expected[key]).norm() / expected[key].norm()).item() for key in ("loss", "gradient")
        }
        yield {"what": name, "ok": all(errors[key] < LIMITS[key] for key in errors), "errors": errors}


def step(name: str, uris: dict[str, str], device: torch.device) -> dict[str, Tensor]:
    """Return the loss, and all gradients as one vector, in fp64 on the CPU."""
    function, config, inputs = stage_parts(name, uris)
    part = prepare(function, config, TrainExecution(workers=1), inputs, device)
    objective, batch = part.objective.train(), part.batch_at(STEP)
    part.optimizer.begin(STEP, objective.trained(STEP))
    context = DrawnOnTheCpu(STEP, config.steps, seed=7)
    loss, _ = forward_backward(objective, [(batch, context)], precision(config, batch))
    gradients = [whole(p.grad).flatten() for p in objective.parameters() if p.grad is not None]
    return {"loss": loss.double().cpu(), "gradient": torch.cat(gradients).double().cpu()}


def whole(gradient: Tensor) -> Tensor:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
