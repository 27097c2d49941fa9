"""The published writes (arXiv 2510.03561) prepare the slots, let them read the interaction, and blend by gates.

They differ in the preparation. Slots read nothing (simple), each other (self), the mean over layers (interlayer), or a
gated blend of both (gated; grouped if the mean is taken over groups of layers).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture, MemoryConfig
from rxt_model.flops import Flops, attention_core, weights
from rxt_model.layers.attention import CrossAttention, split_heads
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import norm, parts_of
from rxt_model.memory.write import MemoryWrite


class ResidualGate(nn.Module):
    """Blends old and new memory (arXiv 2510.03561). With sigmoid, (1 - G) * old + G * new keeps the slots bounded.

    G comes from a learned scalar (static), from w * mean(old + new) per slot (elementwise) or from a slot-mixing
    linear map of those means (linear). The mean over the channels of a slot is near 0, so an elementwise gate starts
    near 0.5 with any weight. Only static and linear gates start at the value that `gate_init` sets.
    """

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.kind, self.activation = config.gate, config.activation
        if self.kind == "linear":
            self.mix = nn.Linear(config.slots, config.slots)
            nn.init.constant_(self.mix.bias, config.gate_init)
        elif self.kind != "none":
            self.weight = nn.Parameter(torch.full((config.slots,), config.gate_init))

    def forward(self, old: Tensor, new: Tensor) -> Tensor:
        """Blend old and new [B, S, d] to [B, S, d]."""
        if self.kind == "none":
            return old + new
        if self.kind == "static":
            logits = self.weight.expand(old.shape[:2])
        else:
            means = (old + new).mean(-1)
            logits = self.mix(means) if self.kind == "linear" else self.weight * means
        if self.activation == "tanh":
            gate = logits.tanh()[..., None]
            return (1 - gate) * old + (1 + gate) * new
        gate = logits.sigmoid()[..., None]
        return (1 - gate) * old + gate * new


class SimpleWrite(MemoryWrite):
    """The unchanged slots read the interaction."""

    def __init__(self, config: Architecture) -> None:
        super().__init__(config)
        self.memory_norm = norm(config.dim, config.norm_eps)
        self.input_norm = norm(config.dim, config.norm_eps)
        self.read = self._attention(config)
        self.write_gate = ResidualGate(config.memory)

    def prepare(self, slots: Tensor, mean: Tensor | None) -> Tensor:
        """Prepare slots [B, S, d] to read the interaction."""
        return slots

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Return keys and values [B, T, 2 * kv_heads * head_dim]."""
        keys_values = self.read.keys_values(self.input_norm(encoded), rope)
        return torch.cat([part.transpose(1, 2).flatten(-2) for part in keys_values], -1)

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        prepared = self.prepare(slots, mean)
        k, v = (split_heads(part, self.read.kv_heads) for part in projected.chunk(2, -1))
        update = _attend(self.read, self.memory_norm(prepared), (k, v), mask[:, None, None, :])
        return self.write_gate(prepared, update)

    def flops(self, length: int, slots: int) -> Flops:
        on_tokens = weights(self.read.key_value)
        once = sum(weights(gate) for gate in parts_of(self, ResidualGate))  # a linear gate mixes one mean per slot
        on_slots = weights(self) - on_tokens - once
        matrices = 2 * (length * on_tokens + slots * on_slots + once)
        return Flops(matrices, attention_core(self.read, slots, length))

    def kept(self, length: int, slots: int) -> int:
        """Slots, their norm, queries, what they read, the update; the norm of tokens, and keys and values per head."""
        heads, dim = self.read.out.in_features, self.read.out.out_features
        return slots * (3 * dim + 2 * heads) + length * (dim + 2 * heads)

    @staticmethod
    def _attention(config: Architecture) -> CrossAttention:
        heads = config.memory.attention or config.encoder_attention
        plain = replace(heads, gate="none", output_bias=True)
        return CrossAttention(config.dim, config.head_dim, plain, config.norm_eps)


class SelfWrite(SimpleWrite):
    """The slots read each other first."""

    def __init__(self, config: Architecture) -> None:
        super().__init__(config)
        self.slot_norm = norm(config.dim, config.norm_eps)
        self.slot_attention = self._attention(config)
        self.slot_gate = ResidualGate(config.memory)

    def source(self, normed: Tensor, mean: Tensor | None) -> Tensor:
        """Return what the slots read in the preparation, [B, S, d]."""
        return normed

    def prepare(self, slots: Tensor, mean: Tensor | None) -> Tensor:
        normed = self.slot_norm(slots)
        keys_values = self.slot_attention.keys_values(self.source(normed, mean))
        return self.slot_gate(slots, _attend(self.slot_attention, normed, keys_values))

    def flops(self, length: int, slots: int) -> Flops:
        return super().flops(length, slots) + Flops(0, attention_core(self.slot_attention, slots, slots))

    def kept(self, length: int, slots: int) -> int:
        attention = self.slot_attention
        own = 3 * attention.out.out_features + 2 * attention.out.in_features + attention.key_value.out_features
        return super().kept(length, slots) + slots * own


class InterlayerWrite(SelfWrite):
    """The slots read the mean over layers first."""

    takes_mean = True

    def source(self, normed: Tensor, mean: Tensor | None) -> Tensor:
        assert mean is not None, "a write that takes the mean is given it"
        return mean

    def kept(self, length: int, slots: int) -> int:
        return super().kept(length, slots) + slots * self.read.out.out_features


class GatedWrite(InterlayerWrite):
    """The slots first read a gated blend of themselves and the mean over layers."""

    def __init__(self, config: Architecture) -> None:
        super().__init__(config)
        self.source_gate = ResidualGate(config.memory)

    def source(self, normed: Tensor, mean: Tensor | None) -> Tensor:
        return self.source_gate(normed, mean)

    def kept(self, length: int, slots: int) -> int:
        return super().kept(length, slots) + slots * self.read.out.out_features


def _attend(attention: CrossAttention, x: Tensor, *args: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    layout = Layout.of(x.shape, None)
    return layout.pad(attention(layout.pack(x), layout, *args))
