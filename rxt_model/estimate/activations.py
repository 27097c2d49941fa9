"""Bytes that the passes of a step keep until their backward pass, from the shape of a model alone.

Counted is what autograd saves on a GPU: fused norms keep their input, flash attention its operands, its output and one
number per head, and the expert kernels the pre-activations and indices (`rxt_model.moe.experts`). Compiled layers keep
less. A width is the bytes of a number in the passes: 2 in bf16, 4 in fp32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch

from rxt_model.config import AttentionConfig, DeltaConfig, ModelConfig
from rxt_model.delta.sequences import CHUNK
from rxt_model.estimate.work import Pass
from rxt_model.memory.attention import write_class

SINGLE = 4  # bytes of an fp32 number
CHUNK_LOGITS = 1 << 28  # as `layers.linear_cross_entropy.LARGE_CHUNK`
INDICES = 16  # bytes of a token's id and place, beside the fp32 sines and cosines of its position
LOGIT_COPIES = 2  # fp32 logits of a chunk and their gradient


@dataclass(frozen=True)
class ActivationBytes:
    """Bytes on one GPU: what layers keep, logits of the largest chunk with the gradient of the head, and memory."""

    layers: int
    logits: int
    memory: int

    @property
    def total(self) -> int:
        return self.layers + self.logits + self.memory


def activation_bytes(config: ModelConfig, passes: Iterable[Pass], width: int, recompute: bool) -> ActivationBytes:
    """Return what one step keeps at its peak, at the end of its last forward pass."""
    layers = memory = logits = 0
    for one in passes:
        layers += _layers(config, one, width, recompute)
        memory += _memory(config, one, width)
        logits = max(logits, _logits(config, one))
    return ActivationBytes(layers, logits, memory)


def attention_values(config: ModelConfig, own: AttentionConfig) -> int:
    """Count the values that self-attention keeps per token: its input, heads packed and padded, output and gate."""
    heads, values = own.query_heads * config.head_dim, own.kv_heads * config.head_dim
    gate = {"none": 0, "elementwise": 2 * heads, "headwise": heads + own.query_heads}[own.gate]
    return config.dim + 2 * (heads + 2 * values) + 2 * heads + gate


def delta_bytes(config: ModelConfig, own: DeltaConfig, width: int) -> int:
    """Count the bytes that a Gated DeltaNet keeps per token: its input, three times what the convolution maps, what the
    gate needs, and in fp32 what the rule needs: six pairings within a chunk, thirteen vectors per head, two states per
    chunk, and numbers of each head."""
    inner = own.heads * config.head_dim
    passes = config.dim + 3 * 3 * inner + 3 * inner
    rule = 13 * inner + 2 * inner * config.head_dim // CHUNK + own.heads * (6 * CHUNK + 16)
    return passes * width + rule * SINGLE


def read_values(config: ModelConfig, own: AttentionConfig) -> int:
    """Count the values that a memory read keeps per token: its input, queries packed and padded, and output twice."""
    return config.dim + 4 * own.query_heads * config.head_dim


def feed_forward_values(dim: int, hidden: int) -> int:
    """Count the values that a SwiGLU keeps per token: its input, both halves, the activation and the product."""
    return dim + 4 * hidden


def expert_bytes(config: ModelConfig, width: int) -> int:
    """Count the bytes that a mixture of experts keeps per token: input and pre-activations of the routed experts,
    router logits in fp32, indices and weights of the chosen, and the shared experts."""
    moe = config.moe
    routed = (config.dim + 2 * moe.expert_dim * moe.top_k) * width + SINGLE * (moe.experts + 4 * moe.top_k)
    each = 4 * moe.shared_dim + config.dim
    return routed + moe.shared_experts * each * width


def decoder_layer_bytes(config: ModelConfig, width: int, *, reads: bool, dense: bool) -> int:
    """Count the bytes that a decoder layer keeps per token, with the inputs of its norms."""
    if reads and config.delta is not None:
        own, heads = delta_bytes(config, config.delta, width), 0
    else:
        heads = config.decoder_attention.query_heads
        own = attention_values(config, config.decoder_attention) * width
    values = config.dim + (config.dim + read_values(config, config.cross_attention) if reads else 0)
    values += config.dim + (feed_forward_values(config.dim, config.dense_dim) if dense else 0)
    heads += config.cross_attention.query_heads if reads else 0
    return own + values * width + SINGLE * heads + (0 if dense else expert_bytes(config, width))


def encoder_layer_bytes(config: ModelConfig, width: int) -> int:
    """Count the bytes that an encoder layer keeps per token, with the inputs of its norms."""
    own = config.encoder_attention
    values = 2 * config.dim + attention_values(config, own) + feed_forward_values(config.dim, config.encoder_dim)
    if reader := config.encoder_memory_attention:
        values += config.dim + read_values(config, reader)
    return values * width + SINGLE * own.query_heads


def _layers(config: ModelConfig, one: Pass, width: int, recompute: bool) -> int:
    if not one.trained or one.part in ("write", "head"):
        return 0
    if one.part == "encoder":
        count, largest = config.stateful_layers, encoder_layer_bytes(config, width)
        whole = count * largest
    else:
        dense = min(1, config.initial_layers)
        plain = config.initial_layers - dense + config.final_layers
        stateful = decoder_layer_bytes(config, width, reads=one.reads > 0, dense=False)
        count, largest = dense + plain + config.stateful_layers, stateful
        whole = (
            dense * decoder_layer_bytes(config, width, reads=False, dense=True)
            + plain * decoder_layer_bytes(config, width, reads=False, dense=False)
            + config.stateful_layers * stateful
        )
    kept = count * config.dim * width + largest if recompute else whole
    return one.tokens * (kept + _copying(config, one) + SINGLE * config.head_dim + INDICES)


def _copying(config: ModelConfig, one: Pass) -> int:
    """Count the bytes per token of a copying head, which scores all tokens and all rows of the memory in fp32. In a
    measurement, a decoder with a memory kept 14 tensors of such scores, and one that matches its history kept 20."""
    scores = 14 if one.reads else 20
    return scores * SINGLE * (one.length + one.reads) if config.copying and one.part == "decoder" else 0


def _logits(config: ModelConfig, one: Pass) -> int:
    """Count the logits of a chunk, and the fp32 gradient of the head, which the forward pass makes already."""
    if not one.scored:
        return 0
    chunk = min(CHUNK_LOGITS, one.sequences * one.scored * config.vocab_size)
    return SINGLE * (LOGIT_COPIES * chunk + config.vocab_size * config.dim)


def _memory(config: ModelConfig, one: Pass, width: int) -> int:
    """Count the bytes of memory: encoder states twice (of each layer and stacked), what is read with its norm, its keys
    and values, and what every write keeps."""
    layers = config.stateful_layers
    if one.part == "encoder":
        return 2 * layers * one.tokens * config.slot_dim * width
    if one.part == "write":
        return layers * one.sequences * _written(config, one.length, one.reads) * width
    if one.part == "decoder" and one.reads:
        keys_values = 2 * config.cross_attention.kv_heads * config.head_dim
        driving = 0 if config.delta is None else 5 * config.delta.heads * config.head_dim * SINGLE
        of_row = (2 * config.dim + config.slot_dim + keys_values) * width + driving
        return layers * one.memories * one.reads * of_row
    return 0


@cache
def _written(config: ModelConfig, length: int, slots: int) -> int:
    """Count the values that one layer keeps of writing an interaction to so many slots, as the write itself says."""
    with torch.device("meta"):
        write = write_class(config.memory.variant)(config)
    return write.kept(length, slots)
