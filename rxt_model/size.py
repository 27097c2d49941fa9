"""Sum up sizes of a model from its modules (even on the meta device): parameters, FLOPs, and what a turn must hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rxt_model.config import ModelConfig
from rxt_model.copying.head import SlotTokens
from rxt_model.copying.runs import LONGEST
from rxt_model.decoder import Decoder, DecoderLayer
from rxt_model.delta.layer import GatedDelta, MemoryDrive
from rxt_model.encoder import Encoder
from rxt_model.flops import Flops, attention_core, delta_core, drive_flops, weights
from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.parts import parts_of
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.layer import MoELayer


def parameters(module: nn.Module) -> int:
    """Count all parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def active_parameters(module: nn.Module) -> int:
    """Count the parameters that one token uses: of the routed experts only a top-k share."""
    idle = 0
    for layer in parts_of(module, MoELayer):
        routed, experts = parameters(layer.experts), layer.experts.w_in.shape[0]
        idle += routed // experts * (experts - layer.top_k)
    return parameters(module) - idle


@dataclass(frozen=True)
class Part:
    """A part of a model. `flops` are per token, averaged over an interaction of full length."""

    name: str
    parameters: int
    active: int
    flops: Flops


@dataclass(frozen=True)
class Size:
    """The sizes of a model. The whole is the last of `parts`. `without_routers` counts the decoder's active parameters
    less those of its routers. The others count values: the short-term `memory` of a conversation, the keys and values
    of an interaction of full length with the states of a Gated DeltaNet (`cache`), and those of the memory, projected
    once per turn (`memory_cache`)."""

    parts: list[Part]
    without_routers: int
    memory: int
    cache: int
    memory_cache: int


def size_of(config: ModelConfig) -> Size:
    """Return the sizes of the model that `config` builds.

    The embedding is counted in the decoder and in the encoder, which share it, but once in the whole. The MLM head,
    which only training uses, is a part of its own.
    """
    with torch.device("meta"):
        model = ReactiveTransformer(config)
        memory = model.initial_memory(1)
    length, slots = config.length, config.memory.slots
    decoder = decoder_flops(model.decoder, length, slots).per(length)
    encoder = encoder_flops(model.encoder, length, slots).per(length)
    write = model.memory_attention.flops(length, slots).per(length)
    assert model.mlm_head is not None, "built with its head"
    head = Flops(2 * weights(model.mlm_head), 0)
    table, mlm = parameters(model.embedding), parameters(model.mlm_head)
    memory_attention = parameters(model.memory_attention)
    count, active = parameters(model), active_parameters(model)
    parts = [
        Part("embedding", table, table, Flops(0, 0)),
        Part("decoder", table + parameters(model.decoder), table + active_parameters(model.decoder), decoder),
        Part("encoder", table + parameters(model.encoder), table + parameters(model.encoder), encoder),
        Part("memory attention", memory_attention, memory_attention, write),
        Part("MLM head", mlm, mlm, head),
        Part("whole", count - mlm, active - mlm, decoder + encoder + write),
        Part("whole with MLM head", count, active, decoder + encoder + write + head),
    ]
    routers = sum(parameters(layer.router) for layer in parts_of(model, MoELayer))
    attentions = [layer.attention for layer in parts_of(model.decoder, DecoderLayer)]
    per_token = sum(2 * own.kv_heads * config.head_dim for own in attentions if isinstance(own, SelfAttention))
    states = sum(own.state_values for own in attentions if isinstance(own, GatedDelta))
    per_slot = sum(layer.memory_read.key_value.out_features for layer in model.decoder.stateful)
    return Size(parts, parts[1].active - routers, memory.numel(), per_token * length + states, per_slot * slots)


def decoder_flops(decoder: Decoder, length: int, slots: int) -> Flops:
    """Count one pass over `length` tokens. A token attends to itself, to the tokens before it, and to every slot if the
    decoder has a memory. What a stateless decoder copies and matches is not counted."""
    reads = parts_of(decoder, CrossAttention)
    causal = sum(
        delta_core(layer.attention, length)
        if isinstance(layer.attention, GatedDelta)
        else attention_core(layer.attention, length, (length + 1) / 2)
        for layer in parts_of(decoder, DecoderLayer)
    )
    driven = sum((_driven(drive, length, slots) for drive in parts_of(decoder, MemoryDrive)), Flops(0, 0))
    copying = (
        Flops(0, 0) if decoder.slot_tokens is None else _copying_flops(decoder, decoder.slot_tokens, length, slots)
    )
    return (
        copying
        + driven
        + Flops(
            2 * length * weights(decoder) + _keys_values_of_slots(reads, length, slots),
            causal + sum(attention_core(read, length, slots) for read in reads),
        )
    )


def _driven(drive: MemoryDrive, length: int, slots: int) -> Flops:
    """Return what memory costs a Gated DeltaNet, less what its weights would cost if every token met them."""
    return drive_flops(drive, slots) + Flops(-2 * length * weights(drive), 0)


def _copying_flops(decoder: Decoder, slot_tokens: SlotTokens, length: int, slots: int) -> Flops:
    """Count what a copying head adds. A token points at the tokens up to it and at every slot, and compares its mark
    with theirs. Slots, not tokens, get keys and names, and the names are logits of the vocabulary. All slots count, as
    in a full memory."""
    assert decoder.matching is not None
    dim, vocabulary, signature = decoder.head.in_features, decoder.head.out_features, len(decoder.matching.weight)
    of_slots = (slots - length) * weights(slot_tokens) + slots * dim * vocabulary
    compared = 2 * length * (dim + signature) * ((length + 1) / 2 + slots)
    # words with slots, sums over a query for an interaction and for each slot, and runs that interactions share; for a
    # memory of one interaction, since the work for others is small beside the rest
    asked = slots * (decoder.matching.term_dim + (length + 1) / 2) + 1 + (length + 1) / 2
    words = 2 * length * asked + 2 * LONGEST * slots
    return Flops(2 * (of_slots + length * signature**2), compared + words)


def encoder_flops(encoder: Encoder, length: int, slots: int) -> Flops:
    """Count one pass over `length` tokens, each of which attends to all."""
    reads = [layer.memory_read for layer in encoder.layers if encoder.reads_memory]
    both_ways = sum(attention_core(layer.attention, length, length) for layer in encoder.layers)
    return Flops(
        2 * length * weights(encoder) + _keys_values_of_slots(reads, length, slots),
        both_ways + sum(attention_core(read, length, slots) for read in reads),
    )


def _keys_values_of_slots(reads: list[CrossAttention], length: int, slots: int) -> int:
    """Return a correction: the memory's keys and values are projected from its slots, not from the tokens."""
    return 2 * (slots - length) * sum(weights(read.key_value) for read in reads)
