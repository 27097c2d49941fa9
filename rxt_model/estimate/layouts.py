"""How a model can be spread over GPUs, and what of that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rxt_model.config import ModelConfig


@dataclass(frozen=True)
class ParallelLayout:
    """The arguments of `rxt_model.training.parallelize`: FSDP over the `shards` neighbouring GPUs of each of so many
    `replicas`, cut at `shard`; whole experts spread over `expert_parallel` neighbouring GPUs, each shared by `sharing`
    GPUs; layers computed again in the backward pass if `recompute`."""

    gpus: int
    expert_parallel: int = 1
    shard: Literal["root", "block"] = "root"
    recompute: bool = False
    replicas: int = 1

    @property
    def shards(self) -> int:
        """The GPUs that hold the whole model together."""
        return self.gpus // self.replicas

    @property
    def sharing(self) -> int:
        """The GPUs of a replica that share one expert."""
        return self.shards // self.expert_parallel

    def __str__(self) -> str:
        spread = f" x EP {self.expert_parallel}" if self.expert_parallel > 1 else ""
        copies = f"{self.replicas} x " if self.replicas > 1 else ""
        over = f"{copies}FSDP {self.shards}{spread}" if self.gpus > 1 else "one GPU"
        return f"{over}, {self.shard}" + (", recompute" if self.recompute else "")


def obstacle(config: ModelConfig, layout: ParallelLayout) -> str:
    """Return why a layout is not possible for a model, as `expert_parallel.check_degree` would; empty if it is."""
    degree, experts = layout.expert_parallel, config.moe.experts
    if layout.gpus % layout.replicas:
        return f"replicas = {layout.replicas}: must divide the {layout.gpus} ranks"
    if layout.shards % degree:
        of_replica = f" of each of {layout.replicas} replicas" if layout.replicas > 1 else ""
        return f"expert_parallel = {degree}: must divide the {layout.shards} ranks{of_replica}"
    if experts % degree:
        return f"expert_parallel = {degree}: must divide the {experts} experts of a layer"
    sharing, widths = layout.sharing, (config.dim, config.moe.expert_dim)
    if degree > 1 and any(width % sharing for width in widths):
        return (
            f"expert_parallel = {degree}: leaves {sharing} ranks to share each expert, "
            f"which must divide dim = {widths[0]} and expert_dim = {widths[1]}"
        )
    return ""


def layouts(gpus: int, per_machine: int) -> Iterator[ParallelLayout]:
    """Yield the layouts of so many GPUs, without asking whether a model can have them: one replica, or one on each
    machine."""
    machines = gpus // per_machine
    for replicas in (1, machines) if machines > 1 and gpus % machines == 0 else (1,):
        group = gpus // replicas
        for degree in (degree for degree in range(1, group + 1) if group % degree == 0):
            for shard in ("root", "block"):
                for recompute in (False, True):
                    yield ParallelLayout(gpus, degree, shard, recompute, replicas)


def expert_layers(config: ModelConfig) -> int:
    """Count the layers with a mixture of experts: all of the decoder but the first initial one."""
    return config.initial_layers - min(1, config.initial_layers) + config.stateful_layers + config.final_layers
