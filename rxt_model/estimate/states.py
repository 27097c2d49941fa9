"""Bytes of weights, gradients and moments on one GPU, and what FSDP and expert parallelism send, from parameters alone.

The groups are those of `rxt_model.training.parallelize`. FSDP cuts dimension 0 of a parameter into equal parts, the
last of them padded; experts that are spread over ranks are cut in dimension 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from rxt_model.config import ModelConfig
from rxt_model.encoder import EncoderLayer
from rxt_model.estimate.layouts import ParallelLayout, expert_layers
from rxt_model.estimate.work import ModelPart, Pass
from rxt_model.layers.parts import parts_of
from rxt_model.memory.write import MemoryWrite
from rxt_model.moe.layer import Experts
from rxt_model.training.parallelize import blocks

MASTER = 4  # bytes of an fp32 weight, gradient or moment


@dataclass(frozen=True)
class ShardedGroup:
    """Parameters that FSDP gathers together. `values` are those that `ranks` ranks hold together, `held` those of one
    rank. `part` is the pass that needs them; None is the root, which stays whole from its first use to the end."""

    values: int
    held: int
    ranks: int
    part: ModelPart | None


@dataclass(frozen=True)
class StateBytes:
    """Bytes on one GPU. `buffers` are parameters and gradients while they are whole: the root, and of the other groups
    the largest, once more for the one that is fetched ahead."""

    weights: int
    gradients: int
    optimizer: int
    buffers: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.buffers


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU sends in a step. `sharded` goes to the GPUs of its replica, and to those that share experts;
    `copied` are gradients for the other replicas; the GPU computes meanwhile. `routed` are the rows of tokens, which
    the GPU waits for."""

    sharded: int
    copied: int
    routed: int

    @property
    def total(self) -> int:
        return self.sharded + self.copied + self.routed


def sharded_groups(module: nn.Module, layout: ParallelLayout) -> list[ShardedGroup]:
    """Return the groups into which `parallelize` cuts a module. The module may be on the meta device."""
    taken: set[Tensor] = set()
    groups = []

    def group(block: nn.Module, part: ModelPart | None) -> None:
        own = [parameter for parameter in block.parameters() if parameter not in taken]
        taken.update(own)
        values = sum(parameter.numel() for parameter in own)
        groups.append(
            ShardedGroup(values, sum(held(parameter, layout.shards) for parameter in own), layout.shards, part)
        )

    for experts in parts_of(module, Experts) if layout.expert_parallel > 1 else ():
        own = list(experts.parameters())
        taken.update(own)
        values = sum(stack.numel() for stack in own) // layout.expert_parallel
        cut = sum(stack.shape[0] // layout.expert_parallel * held(stack[0], layout.sharing) for stack in own)
        groups.append(ShardedGroup(values, cut, layout.sharing, "decoder"))
    for block in blocks(module) if layout.shard == "block" else ():
        group(
            block,
            "encoder" if isinstance(block, EncoderLayer) else "write" if isinstance(block, MemoryWrite) else "decoder",
        )
    group(module, None)
    return groups


def held(parameter: Tensor, ranks: int) -> int:
    """Count the values of a parameter that a rank holds, with padding."""
    rows = -(-parameter.shape[0] // ranks)
    return rows * math.prod(parameter.shape[1:])


def state_bytes(groups: list[ShardedGroup], width: int) -> StateBytes:
    """Return the bytes on one GPU. Weights, gradients and both moments of AdamW are fp32; gathered parameters and whole
    gradients have the `width` of the passes, and gradients are summed in fp32."""
    own = MASTER * sum(group.held for group in groups)
    root = sum(group.values for group in groups if group.part is None)
    others = [group.values for group in groups if group.part is not None]
    largest = max(others, default=0)
    gathered = width * (root + 2 * largest)
    reduced = (width + MASTER) * max(root, largest)
    alone = all(group.ranks == 1 for group in groups)
    return StateBytes(own, own, 2 * own, 0 if alone and width == MASTER else gathered + reduced)


def traffic(
    config: ModelConfig, groups: list[ShardedGroup], passes: Iterable[Pass], layout: ParallelLayout, width: int
) -> Traffic:
    """Return what one GPU sends in a step with these passes. Every call gathers a group in its forward and again in its
    backward pass, but the root only once; a write also projects, which is a call of its own. Replicas add up the
    gradients of their parts. A row goes to the owner of its expert and comes back, in both passes; with recomputation,
    in a third.
    """
    passes = list(passes)
    sent = copied = 0.0
    others = (layout.replicas - 1) / layout.replicas
    for group in groups:
        own = [one for one in passes if one.part == group.part]
        calls = sum(one.share * (one.calls + (one.part == "write")) * (1 + one.trained) for one in own)
        reduced = MASTER if group.part is None or any(one.trained for one in own) else 0
        values = (group.ranks - 1) / group.ranks * group.values
        sent += values * (width * (1 if group.part is None else calls) + reduced)
        copied += 2 * others * reduced * group.values / group.ranks
    away = (layout.expert_parallel - 1) / layout.expert_parallel
    row = expert_layers(config) * config.moe.top_k * config.dim * width * away
    times = {False: 2, True: 6 if layout.recompute else 4}
    decoded = sum(one.share * times[one.trained] * one.tokens for one in passes if one.part == "decoder")
    return Traffic(round(sent), round(copied), round(row * decoded))
