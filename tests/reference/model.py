"""Decoder, encoder and heads as equations, for one row of ids without padding; `state` is that of the whole model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rxt_model.config import ModelConfig
from tests.reference import memory as memory_equations
from tests.reference.delta import gated_delta
from tests.reference.layers import (
    Load,
    State,
    cross_attention,
    cross_attention_weights,
    linear,
    mixture,
    neighbours,
    part,
    rms_norm,
    self_attention,
    swiglu,
)


def encode(state: State, config: ModelConfig, ids: Sequence[int], memory: Tensor | None = None) -> Tensor:
    """ED [L, T, d]: the residual stream after every encoder layer. `memory` [L, S, d] is what an encoder reads that
    reads memory."""
    h, eps, outputs = embed(state, ids), config.norm_eps, []
    if config.encoder_neighbours:
        h = neighbours(part(state, "encoder.neighbours"), h, config.encoder_neighbours)
    for layer in range(config.stateful_layers):
        own = part(state, f"encoder.layers.{layer}")
        n = rms_norm(part(own, "attention_norm"), h, eps)
        h = h + self_attention(
            part(own, "attention"), n, config.encoder_attention, range(len(ids)), config.rope_base, causal=False
        )
        if config.encoder_memory_attention is not None:
            assert memory is not None
            n = rms_norm(part(own, "memory_query_norm"), h, eps)
            slots = rms_norm(part(own, "memory_norm"), memory[layer], eps)
            read, heads = part(own, "memory_read"), config.encoder_memory_attention
            h = h + cross_attention(read, n, slots, heads, config.rope_base, range(len(ids)))
        h = h + swiglu(part(own, "feed_forward"), rms_norm(part(own, "feed_forward_norm"), h, eps))
        outputs.append(h)
    return torch.stack(outputs)


def decode(
    state: State, config: ModelConfig, ids: Sequence[int], memory: Tensor, reads: list[Tensor] | None = None
) -> tuple[Tensor, list[Load]]:
    """Normed hidden states [T, d] and the load of every expert layer; memory [L, M, d] is all that may be read. The
    weights [T, H_q, M] of every memory read are added to `reads`."""
    h, eps, loads = embed(state, ids), config.norm_eps, []
    if config.decoder_neighbours:
        h = neighbours(part(state, "decoder.neighbours"), h, config.decoder_neighbours)
    layers = [("initial", i) for i in range(config.initial_layers)]
    layers += [("stateful", i) for i in range(config.stateful_layers)]
    layers += [("final", i) for i in range(config.final_layers)]
    for kind, i in layers:
        own = part(state, f"decoder.{kind}.{i}")
        n = rms_norm(part(own, "attention_norm"), h, eps)
        slots = rms_norm(part(own, "memory_norm"), memory[i], eps) if kind == "stateful" else None
        if slots is not None and config.delta is not None:
            h = h + gated_delta(part(own, "attention"), part(own, "memory_drive"), n, slots, config.delta, eps)
        else:
            h = h + self_attention(
                part(own, "attention"), n, config.decoder_attention, range(len(ids)), config.rope_base, causal=True
            )
        if slots is not None:
            n = rms_norm(part(own, "memory_query_norm"), h, eps)
            given = (part(own, "memory_read"), n, slots, config.cross_attention, config.rope_base, range(len(ids)))
            h = h + cross_attention(*given)
            if reads is not None:
                reads.append(cross_attention_weights(*given))
        n = rms_norm(part(own, "feed_forward_norm"), h, eps)
        if (kind, i) == ("initial", 0):
            h = h + swiglu(part(own, "feed_forward"), n)
        else:
            update, load = mixture(part(own, "feed_forward"), n, config.moe.top_k)
            h = h + update
            loads.append(load)
    return rms_norm(part(state, "decoder.norm"), h, eps), loads


def write(state: State, config: ModelConfig, memory: Tensor, encoded: Tensor) -> Tensor:
    """STM_t [L, S, d] of one conversation."""
    return memory_equations.write(part(state, "memory_attention"), config, memory, encoded)


def logits(state: State, hidden: Tensor) -> Tensor:
    return linear(part(state, "decoder.head"), hidden)


def mlm_logits(state: State, hidden: Tensor) -> Tensor:
    """Linear, GELU, LayerNorm, Linear on the output of the last encoder layer."""
    own = part(state, "mlm_head")
    x = linear(part(own, "dense"), hidden)
    x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / ((centred * centred).mean(-1, keepdim=True) + 1e-5).sqrt()
    return linear(part(own, "decode"), normed * own["norm.weight"] + own["norm.bias"])


def cross_entropy(rows: Tensor, targets: Sequence[int]) -> Tensor:
    """Summed over rows of logits [n, V], in nats."""
    return sum(
        (torch.logsumexp(row, 0) - row[target] for row, target in zip(rows, targets, strict=True)), rows.sum() * 0
    )


def embed(state: State, ids: Sequence[int]) -> Tensor:
    return torch.stack([state["embedding.weight"][i] for i in ids])
