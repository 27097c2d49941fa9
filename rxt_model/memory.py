"""The memory write: encoded data of a finished interaction updates the short-term memory.

Every layer reads the old memory and all layers are replaced at once. Shapes: memory [L, B, S, d], encoded data
[L, B, T, d], mask [B, T] True at real tokens. What a write takes from the interaction alone, its keys and values
[L, B, T, 2 P], is projected first, so that training projects all interactions of its conversations at once and only
the rest goes turn by turn.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rxt_model.attention import CrossAttention, SelfAttention, split_heads
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig
from rxt_model.layers import norm
from rxt_model.layout import Layout


class ResidualGate(nn.Module):
    """Blends old and new memory; sigmoid keeps slots bounded by (1 - G) * old + G * new (arXiv 2510.03561).

    G comes from a learned scalar (static), from w * mean(old + new) per slot (elementwise) or from a slot-mixing
    linear map of those means (linear). The means of zero-mean vectors are near 0, so an elementwise gate starts near
    0.5 whatever its weight; only static and linear gates start where `gate_init` says.
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
        """old, new [B, S, d] -> [B, S, d]."""
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


class GatedWrite(nn.Module):
    """One layer of the published variants: prepare the slots among themselves, read the interaction, gate."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        memory = config.memory
        heads = memory.attention or config.encoder_attention
        plain = replace(heads, gate="none", output_bias=True)
        self.variant = memory.variant
        self.memory_norm = norm(config.dim, config.norm_eps)
        self.input_norm = norm(config.dim, config.norm_eps)
        self.read = CrossAttention(config.dim, config.head_dim, plain, config.norm_eps)
        self.write_gate = ResidualGate(memory)
        if self.variant != "simple":
            self.slot_norm = norm(config.dim, config.norm_eps)
            self.slot_attention = CrossAttention(config.dim, config.head_dim, plain, config.norm_eps)
            self.slot_gate = ResidualGate(memory)
        if self.variant in ("gated", "grouped"):
            self.source_gate = ResidualGate(memory)

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Keys and values [B, T, 2 P] of encoded data [B, T, d]; `rope` [T, head_dim / 2]."""
        keys_values = self.read.keys_values(self.input_norm(encoded), rope)
        return torch.cat([part.transpose(1, 2).flatten(-2) for part in keys_values], -1)

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        prepared = slots
        if self.variant != "simple":
            normed = self.slot_norm(slots)
            source = normed if self.variant == "self" else mean
            if self.variant in ("gated", "grouped"):
                source = self.source_gate(normed, mean)
            among = self._attend(self.slot_attention, normed, self.slot_attention.keys_values(source))
            prepared = self.slot_gate(slots, among)
        k, v = (split_heads(part, self.read.kv_heads) for part in projected.chunk(2, -1))
        update = self._attend(self.read, self.memory_norm(prepared), (k, v), mask[:, None, None, :])
        return self.write_gate(prepared, update)

    @staticmethod
    def _attend(attention: CrossAttention, x: Tensor, *args: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        layout = Layout.of(x.shape, None)
        return layout.pad(attention(layout.pack(x), layout, *args))


class CompetitiveWrite(nn.Module):
    """Slots compete for tokens: softmax over slots, each token divides itself among them.

    A slot's gate is multiplied by the largest share that it won, so a slot that won nothing keeps its content.
    """

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        dim = config.dim
        self.input_norm = norm(dim, config.norm_eps)
        heads = AttentionConfig(config.heads, config.heads)
        self.context = SelfAttention(dim, config.head_dim, heads, config.norm_eps)
        self.memory_norm = norm(dim, config.norm_eps)
        self.slot_identity = nn.Parameter(torch.randn(config.memory.slots, dim))
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.gate = nn.Linear(2 * dim, dim)
        nn.init.constant_(self.gate.bias, 1.0)
        self.log_temperature = nn.Parameter(torch.zeros(1))

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Keys and values [B, T, 2 d] of encoded data [B, T, d], zeros at padding; `rope` [T, head_dim / 2]."""
        layout = Layout.of(mask.shape, mask)
        normed = self.input_norm(layout.pack(encoded))
        positions = layout.pack(rope.expand(mask.shape[0], *rope.shape))
        tokens = normed + self.context(normed, positions, layout, mask[:, None, None, :])
        return layout.pad(torch.cat((self.key(tokens), self.value(tokens)), -1))

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        keys, values = projected.chunk(2, -1)
        named = self.memory_norm(slots) + self.slot_identity
        scale = self.log_temperature.exp() / math.sqrt(slots.shape[-1])
        scores = self.query(named) @ keys.transpose(1, 2) * scale
        shares = scores.softmax(1) * mask[:, None, :]
        update = self.out(shares @ values / (shares.sum(-1, keepdim=True) + 1e-6))
        gate = self.gate(torch.cat((named, update), -1)).sigmoid() * shares.amax(-1, keepdim=True)
        return (1 - gate) * slots + gate * update


class MemoryAttention(nn.Module):
    """All layers of the memory write, with the mean over layers that the interlayer variants read."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.config = config.memory
        layer = CompetitiveWrite if config.memory.variant == "competitive" else GatedWrite
        self.layers = nn.ModuleList(layer(config) for _ in range(config.stateful_layers))
        self.mean_norm = None
        if config.memory.variant in ("interlayer", "gated", "grouped"):
            self.mean_norm = norm(config.dim, config.norm_eps)

    def _means(self, memory: Tensor) -> list[Tensor | None]:
        """Per layer the normalised mean over its group of consecutive layers, with or without the layer itself."""
        if self.mean_norm is None:
            return [None] * len(self.layers)
        size = len(self.layers) // self.config.groups
        means = []
        for group in memory.split(size):
            if not self.config.exclude_self:
                means += [self.mean_norm(group.mean(0))] * size
                continue
            others = (group.sum(0) - group) / max(1, size - 1)
            means += [self.mean_norm(mean) for mean in others.unbind(0)]
        return means

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Keys and values [L, B, T, 2 P] of encoded data [L, B, T, d], from whichever conversations and turns."""
        visible = _visible(mask)
        parts = zip(self.layers, encoded.unbind(0), strict=True)
        return torch.stack([layer.project(states, rope, visible) for layer, states in parts])

    def forward(self, memory: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """The next memory [L, B, S, d]. Rows without a real token keep their memory."""
        visible = _visible(mask)
        parts = zip(self.layers, memory.unbind(0), self._means(memory), projected.unbind(0), strict=True)
        updated = [layer(slots, mean, taken, visible) for layer, slots, mean, taken in parts]
        return torch.where(mask.any(-1)[None, :, None, None], torch.stack(updated), memory)


def _visible(mask: Tensor) -> Tensor:
    """A row that is all padding would attend to nothing: it sees token 0, and what comes of it is discarded."""
    return mask | (~mask.any(-1, keepdim=True) & (torch.arange(mask.shape[1], device=mask.device) == 0))


class MemoryStatistics(NamedTuple):
    """How a memory looks: root mean square per layer [L], and effective rank over slots per layer [L]."""

    rms: Tensor
    effective_rank: Tensor


def memory_statistics(memory: Tensor) -> MemoryStatistics:
    """Statistics of memory [L, B, S, d], averaged over the batch; effective rank = exp(entropy of singular values)."""
    values = torch.linalg.svdvals(memory.float())
    share = values / values.sum(-1, keepdim=True).clamp(min=1e-12)
    rank = (-(share * share.clamp(min=1e-12).log()).sum(-1)).exp().mean(-1)
    return MemoryStatistics(memory.float().pow(2).mean((1, 2, 3)).sqrt(), rank)
