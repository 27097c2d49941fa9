"""Settings that say where and how a stage is computed. They are never part of a fingerprint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from jobs.configs.base import Config


class DataExecution(Config):
    """Data stages. `parallelism` tasks run at once."""

    parallelism: PositiveInt = 2


class LayoutExecution(Config):
    """How a model is spread over ranks. `fully_shard` cuts it at `shard`: at the `root` (one group, for small models)
    or at each `block`. `expert_parallel` ranks share the experts of a layer. With `replicas` of 2 or more, so many
    groups of ranks hold the whole model each (HSDP), and only gradients travel between groups. With
    `activation_checkpointing`, the backward pass computes layers again instead of keeping their activations. With
    `micro_batches` of 2 or more, a rank passes its rows in so many parts, after a pass without gradients that counts
    what the loss is divided by."""

    expert_parallel: PositiveInt = 1
    replicas: PositiveInt = 1
    shard: Literal["root", "block"] = "root"
    activation_checkpointing: bool = False
    micro_batches: PositiveInt = 1

    def check_divides(self, name: str, ranks: int) -> None:
        """Raise ValueError unless the ranks, whose number has this name, divide into groups."""
        if ranks % self.replicas:
            raise ValueError(f"replicas = {self.replicas}: must divide {name} = {ranks}")
        if ranks // self.replicas % self.expert_parallel:
            each = f" / replicas = {self.replicas}" if self.replicas > 1 else ""
            raise ValueError(f"expert_parallel = {self.expert_parallel}: must divide {name} = {ranks}{each}")


class TrainExecution(LayoutExecution):
    """Ray Train runs, which spread a model over `workers` with so many `threads` each. On GPUs, each worker has one."""

    workers: PositiveInt = 2
    threads: PositiveInt = 1
    checkpoint_every_steps: PositiveInt = 100
    log_every_steps: PositiveInt = 10
    keep_checkpoints: PositiveInt = 2
    max_failures: Annotated[int, Field(ge=0)] = 2

    @model_validator(mode="after")
    def _workers_divide(self) -> TrainExecution:
        self.check_divides("workers", self.workers)
        return self


class RlExecution(LayoutExecution):
    """The actors of the RL stage. The policy that is learned is spread over `learners`; every rollout worker has a
    whole one. On GPUs, each actor has a share `gpu_share` of one, since they take turns, or one of its own if there are
    several learners."""

    learners: PositiveInt = 1
    rollout_workers: PositiveInt = 2
    threads: PositiveInt = 1
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    checkpoint_every_iterations: PositiveInt = 2
    max_restarts: Annotated[int, Field(ge=0)] = 3

    @property
    def gpu(self) -> float:
        """The share of a GPU that each actor has. The ranks of a group cannot share one."""
        return self.gpu_share if self.learners == 1 else 1.0

    @model_validator(mode="after")
    def _learners_divide(self) -> RlExecution:
        self.check_divides("learners", self.learners)
        return self


class Execution(Config):
    """Where and how stages are computed. Up to `parallel_stages` stages run at once.

    Training stages, `mrl` and `evaluate` run on `device`. With `auto` that is the GPUs, if there are enough.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataExecution = DataExecution()
    train: TrainExecution = TrainExecution()
    rl: RlExecution = RlExecution()
    parallel_stages: PositiveInt = 1
