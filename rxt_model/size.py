"""Sizes of a model, summed from its modules (the meta device will do): parameters, FLOPs, and what a turn must hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rxt_model.config import ModelConfig
from rxt_model.decoder import Decoder, DecoderLayer
from rxt_model.encoder import Encoder
from rxt_model.memory import CompetitiveWrite, GatedWrite, MemoryAttention, ResidualGate
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.layer import MoELayer


def parameters(module: nn.Module) -> int:
    """All parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def active_parameters(module: nn.Module) -> int:
    """Parameters that one token uses: of each routed stack only the share of its top-k experts."""
    idle = 0
    for layer in _of(module, MoELayer):
        routed, experts = parameters(layer.experts), layer.experts.w_in.shape[0]
        idle += routed // experts * (experts - layer.top_k)
    return parameters(module) - idle


@dataclass(frozen=True)
class Flops:
    """Forward FLOPs, a multiply-add being 2: of the weight matrices, and of the attention cores (scores and values).

    Norms, gates, softmax and other element-wise work are left out.
    """

    matrices: float
    attention: float

    def per(self, tokens: int) -> Flops:
        return Flops(self.matrices / tokens, self.attention / tokens)

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.matrices + other.matrices, self.attention + other.attention)


@dataclass(frozen=True)
class Part:
    """A part of a model; `flops` per token, averaged over an interaction of full length."""

    name: str
    parameters: int
    active: int
    flops: Flops


@dataclass(frozen=True)
class Size:
    """`parts` with the whole last; of the decoder's active parameters those `without_routers`; and in values: the
    short-term `memory` of a conversation, the keys and values of an interaction of full length (`cache`), and those of
    the memory, projected once per turn (`memory_cache`)."""

    parts: list[Part]
    without_routers: int
    memory: int
    cache: int
    memory_cache: int


def size_of(config: ModelConfig) -> Size:
    """Sizes of the model that `config` builds. Decoder and encoder are counted with the embedding that they share, the
    whole with it once; the head that only training uses stands apart."""
    with torch.device("meta"):
        model = ReactiveTransformer(config)
        memory = model.initial_memory(1)
    length, slots = config.length, config.memory.slots
    decoder = decoder_flops(model.decoder, length, slots).per(length)
    encoder = encoder_flops(model.encoder, length, slots).per(length)
    write = write_flops(model.memory_attention, length, slots).per(length)
    head = Flops(2 * _weights(model.mlm_head), 0)
    table, mlm = parameters(model.embedding), parameters(model.mlm_head)
    count, active = parameters(model), active_parameters(model)
    parts = [
        Part("embedding", table, table, Flops(0, 0)),
        Part("decoder", table + parameters(model.decoder), table + active_parameters(model.decoder), decoder),
        Part("encoder", table + parameters(model.encoder), table + parameters(model.encoder), encoder),
        Part("memory attention", *[parameters(model.memory_attention)] * 2, write),
        Part("MLM head", mlm, mlm, head),
        Part("whole", count - mlm, active - mlm, decoder + encoder + write),
        Part("whole with MLM head", count, active, decoder + encoder + write + head),
    ]
    routers = sum(parameters(layer.router) for layer in _of(model, MoELayer))
    per_token = sum(2 * layer.attention.kv_heads * config.head_dim for layer in _of(model.decoder, DecoderLayer))
    per_slot = sum(layer.memory_read.key_value.out_features for layer in model.decoder.stateful)
    return Size(parts, parts[1].active - routers, memory.numel(), per_token * length, per_slot * slots)


def decoder_flops(decoder: Decoder, length: int, slots: int) -> Flops:
    """One pass over `length` tokens; a token attends to itself and those before it, and to every slot."""
    reads = [layer.memory_read for layer in decoder.stateful]
    causal = sum(_core(layer.attention, length, (length + 1) / 2) for layer in _of(decoder, DecoderLayer))
    return Flops(
        2 * length * _weights(decoder) + _keys_values_of_slots(reads, length, slots),
        causal + sum(_core(read, length, slots) for read in reads),
    )


def encoder_flops(encoder: Encoder, length: int, slots: int) -> Flops:
    """One pass over `length` tokens, each attending to all."""
    reads = [layer.memory_read for layer in encoder.layers if encoder.reads_memory]
    both_ways = sum(_core(layer.attention, length, length) for layer in encoder.layers)
    return Flops(
        2 * length * _weights(encoder) + _keys_values_of_slots(reads, length, slots),
        both_ways + sum(_core(read, length, slots) for read in reads),
    )


def write_flops(memory_attention: MemoryAttention, length: int, slots: int) -> Flops:
    """One write of `length` encoded tokens into `slots` slots per layer."""
    total = Flops(0, 0)
    for layer in memory_attention.layers:
        total += (
            _competitive(layer, length, slots) if isinstance(layer, CompetitiveWrite) else _gated(layer, length, slots)
        )
    return total


def _gated(layer: GatedWrite, length: int, slots: int) -> Flops:
    on_tokens = _weights(layer.read.key_value)
    once = sum(_weights(gate) for gate in _of(layer, ResidualGate))  # a linear gate mixes one mean per slot
    on_slots = _weights(layer) - on_tokens - once
    core = _core(layer.read, slots, length)
    if layer.variant != "simple":
        core += _core(layer.slot_attention, slots, slots)
    return Flops(2 * (length * on_tokens + slots * on_slots + once), core)


def _competitive(layer: CompetitiveWrite, length: int, slots: int) -> Flops:
    on_tokens = _weights(layer.context) + _weights(layer.key) + _weights(layer.value)
    on_slots = _weights(layer) - on_tokens
    core = _core(layer.context, length, length) + 4 * slots * length * layer.query.out_features
    return Flops(2 * (length * on_tokens + slots * on_slots), core)


def _weights(module: nn.Module) -> int:
    """Matrix weights that one row meets; of routed experts those of the top-k."""
    routed = sum(
        layer.top_k * (layer.experts.w_in[0].numel() + layer.experts.w_out[0].numel())
        for layer in _of(module, MoELayer)
    )
    return routed + sum(layer.weight.numel() for layer in _of(module, nn.Linear))


def _keys_values_of_slots(reads: list[nn.Module], length: int, slots: int) -> int:
    """Correction: the memory's keys and values are projected from its slots, not from the tokens."""
    return 2 * (slots - length) * sum(_weights(read.key_value) for read in reads)


def _core(attention: nn.Module, queries: int, keys: float) -> float:
    """Scores and weighted values of `queries` rows that see `keys` rows each."""
    return 4 * queries * keys * attention.out.in_features


def _of(module: nn.Module, kind: type) -> list:
    return [part for part in module.modules() if isinstance(part, kind)]
