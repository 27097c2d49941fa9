"""Settings that say where and how a stage is computed. They are never part of a fingerprint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from jobs.configs.base import Config


class DataExecution(Config):
    """Data stages. `parallelism` tasks run at once."""

    parallelism: PositiveInt = 2


class TrainExecution(Config):
    """Ray Train runs. `fully_shard` cuts the model at `shard`: at the `root` (one group, for small models) or at each
    `block`. `expert_parallel` ranks share the experts of a layer. With `activation_checkpointing`, the backward pass
    computes layers again instead of keeping their activations. With `micro_batches` of 2 or more, a worker passes its
    rows in so many parts, after a pass without gradients that counts what the loss is divided by. On GPUs, each worker
    has one."""

    workers: PositiveInt = 2
    threads: PositiveInt = 1
    expert_parallel: PositiveInt = 1
    shard: Literal["root", "block"] = "root"
    activation_checkpointing: bool = False
    micro_batches: PositiveInt = 1
    checkpoint_every_steps: PositiveInt = 100
    log_every_steps: PositiveInt = 10
    keep_checkpoints: PositiveInt = 2
    max_failures: Annotated[int, Field(ge=0)] = 2

    @model_validator(mode="after")
    def _experts_divide_among_workers(self) -> TrainExecution:
        if self.workers % self.expert_parallel:
            raise ValueError(f"expert_parallel = {self.expert_parallel}: must divide workers = {self.workers}")
        return self


class RlExecution(Config):
    """The actors of the RL stage. On GPUs, the learner and each rollout worker have a share `gpu_share` of one; they
    take turns."""

    rollout_workers: PositiveInt = 2
    threads: PositiveInt = 1
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    checkpoint_every_iterations: PositiveInt = 2
    max_restarts: Annotated[int, Field(ge=0)] = 3


class Execution(Config):
    """Where and how stages are computed. Up to `parallel_stages` stages run at once.

    Training stages, `mrl` and `evaluate` run on `device`. With `auto` that is the GPUs, if there are enough.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataExecution = DataExecution()
    train: TrainExecution = TrainExecution()
    rl: RlExecution = RlExecution()
    parallel_stages: PositiveInt = 1
