"""What one rank of a training stage trains: its objective, optimizer and batches, on its device. It needs no Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from jobs.configs.execution import LayoutExecution, TrainExecution
from jobs.configs.training import Precision, StageConfig
from jobs.training.batching.batches import ROW, Batch
from jobs.training.batching.reader import Prefetched, Share
from jobs.training.objectives.base import Objective
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.recipe import Inputs, build
from rxt_model.training.parallelize import parallelize


@dataclass(frozen=True)
class RankTraining:
    """The arguments of `jobs.training.loop.train` for one rank. Batches are on the device of the model."""

    objective: Objective
    optimizer: StageOptimizer
    batch_at: Callable[[int], Batch]
    validation: Batch | None


def prepare(
    recipe: str, config: StageConfig, execution: TrainExecution, inputs: Inputs, device: torch.device
) -> RankTraining:
    """Build this rank's part of a stage, sharded over all ranks of the default process group. `recipe` names the
    function that makes the stage's recipe, as `module:function`. Raises ConfigError for a layout that does not fit, and
    StageError for damaged inputs."""
    world_size = dist.get_world_size()
    made = build(recipe, config, inputs, Share(dist.get_rank(), world_size))
    objective = made.objective.to(device)
    spread(objective, execution, world_size, device.type, config.precision)
    batch_at = Prefetched(made.batch_at)
    return RankTraining(
        objective,
        StageOptimizer(objective, config.optimizer, config.steps),
        lambda step: _placed(batch_at(step), device),
        None if made.validation is None else _placed(made.validation, device),
    )


def spread(
    module: nn.Module, layout: LayoutExecution, ranks: int, device: str, precision: Precision = "float32"
) -> None:
    """Shard a module in place over all ranks, as the configuration lays it out. Raises ConfigError if it does not
    fit."""
    parallelize(
        module,
        ranks,
        shard=layout.shard,
        expert_parallel=layout.expert_parallel,
        replicas=layout.replicas,
        activation_checkpointing=layout.activation_checkpointing,
        precision=precision,
        device=device,
    )


def _placed(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to the device, but not the numbers of its rows, which seed generators on the host."""
    return {name: tensor if name.endswith(ROW) else tensor.to(device) for name, tensor in batch.items()}
