"""Seconds of a training step: arithmetic, memory traffic and messages, each at a share of what the GPU can do.

The shares come from single parts of RxT-Beta on an H100 (`tests/benchmarks/results`): a dense feed-forward layer and
the routed experts (`moe_gpu.jsonl`), and attention at head width 32 (`attention.jsonl`). On another GPU, in other
widths and in fp32 they may differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ModelConfig
from rxt_model.estimate.gpus import Gpu
from rxt_model.estimate.layouts import ParallelLayout, expert_layers
from rxt_model.estimate.states import MASTER, ShardedGroup, Traffic
from rxt_model.estimate.work import Pass
from rxt_model.flops import Flops, weights
from rxt_model.model import ReactiveTransformer
from rxt_model.size import decoder_flops, encoder_flops

MATRICES = 0.31  # of the peak
ATTENTION = 0.13  # of the peak: 0.10 at 1,024 tokens, 0.16 at 4,096
EXPERTS = 0.38  # of the bandwidth, for the least traffic of the routed experts
COPY = 0.9  # of the bandwidth, for the optimizer
MESSAGES = 0.75  # of the links
HOST = {"encoder": 0.8e-3, "decoder": 2.0e-3, "write": 0.8e-3, "head": 0.5e-3}  # seconds per layer to start its kernels
BACKWARD = 2  # times the forward pass


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of one step. The GPU computes while shards travel; it waits for routed rows. `host` is what the CPU needs
    to start all kernels, which it does meanwhile. `flops` are those of one GPU, without recomputation."""

    compute: float
    host: float
    sharding: float
    routing: float
    optimizer: float
    flops: float

    @property
    def total(self) -> float:
        return max(self.compute, self.host, self.sharding) + self.routing + self.optimizer


def step_seconds(
    model: ReactiveTransformer | StatelessDecoder,
    passes: Iterable[Pass],
    layout: ParallelLayout,
    groups: list[ShardedGroup],
    sent: Traffic,
    gpu: Gpu,
    width: int,
) -> StepSeconds:
    """Predict a step of a model (on the meta device) with these passes, for the mean step."""
    compute = host = flops = 0.0
    peak = gpu.flops(width)
    for one in passes:
        times = 1 + (BACKWARD + layout.recompute if one.trained else 0)
        dense, routed = _flops(model, one)
        seconds = dense.matrices / (MATRICES * peak) + dense.attention / (ATTENTION * peak)
        compute += one.share * times * seconds
        compute += one.share * _expert_bytes(model.config, one, width, layout) / (EXPERTS * gpu.bandwidth)
        host += one.share * times * _layers(model, one) * HOST[one.part] / (1 + BACKWARD)
        flops += one.share * (1 + BACKWARD * one.trained) * (dense.matrices + dense.attention + routed)
    own = sum(group.held for group in groups)
    return StepSeconds(
        compute=compute,
        host=host,
        sharding=sent.sharded / (MESSAGES * _between(gpu, layout.shards))
        + sent.copied / (MESSAGES * _to_one(gpu, layout.gpus)),
        routing=sent.routed / (MESSAGES * _to_one(gpu, layout.expert_parallel)),
        optimizer=7 * MASTER * own / (COPY * gpu.bandwidth),  # reads four values, writes three
        flops=flops,
    )


def _between(gpu: Gpu, ranks: int) -> float:
    """Return the bytes per second at which a GPU takes part in a message to all: the slower of the links and, between
    machines, of all network ports of a machine together."""
    return gpu.link if ranks <= gpu.per_machine else min(gpu.link, gpu.per_machine * gpu.network)


def _to_one(gpu: Gpu, ranks: int) -> float:
    """Return the bytes per second between a GPU and single others among so many: the owners of its experts, or those
    that hold the same part."""
    return gpu.link if ranks <= gpu.per_machine else gpu.network


@lru_cache(maxsize=256)
def _flops(model: ReactiveTransformer | StatelessDecoder, one: Pass) -> tuple[Flops, float]:
    """Return the FLOPs of a forward pass without routed experts, and those of the routed experts."""
    if one.part == "head":
        assert isinstance(model, ReactiveTransformer) and model.mlm_head is not None, "only this model has one"
        return Flops(2 * one.sequences * one.scored * weights(model.mlm_head), 0), 0.0
    if one.part == "write":
        assert isinstance(model, ReactiveTransformer), "only this model has a memory"
        found = model.memory_attention.flops(one.length, one.reads)
        return _times(one.sequences, found), 0.0
    if one.part == "encoder":
        assert isinstance(model, ReactiveTransformer), "only this model has an encoder"
        return _times(one.sequences, encoder_flops(model.encoder, one.length, model.config.memory.slots)), 0.0
    alone = decoder_flops(model.decoder, one.length, 0)
    reading = decoder_flops(model.decoder, one.length, one.reads)
    unscored = 2 * (one.length - one.scored) * weights(model.decoder.head)
    moe = model.config.moe
    routed = 6.0 * one.tokens * expert_layers(model.config) * moe.top_k * model.config.dim * moe.expert_dim
    matrices = one.sequences * (alone.matrices - unscored) + one.memories * (reading.matrices - alone.matrices)
    return Flops(matrices - routed, one.sequences * reading.attention), routed


def _times(count: int, found: Flops) -> Flops:
    return Flops(count * found.matrices, count * found.attention)


def _expert_bytes(config: ModelConfig, one: Pass, width: int, layout: ParallelLayout) -> float:
    """Count the least bytes that the routed experts of a pass move: rows between the kernels, and all weights."""
    if one.part != "decoder":
        return 0.0
    moe = config.moe
    rows, hidden = one.tokens * moe.top_k, moe.expert_dim
    stacks = 3 * config.dim * hidden * moe.experts / layout.expert_parallel
    forward = rows * (4 * hidden + 2 * config.dim) + stacks
    backward = rows * (10 * hidden + 2 * config.dim) + 2 * stacks
    moved = forward * (1 + (layout.recompute and one.trained)) + backward * one.trained
    return expert_layers(config) * moved * width


def _layers(model: ReactiveTransformer | StatelessDecoder, one: Pass) -> int:
    c = model.config
    decoder = c.initial_layers + c.stateful_layers + c.final_layers
    return {"decoder": decoder, "head": 1}.get(one.part, c.stateful_layers)
