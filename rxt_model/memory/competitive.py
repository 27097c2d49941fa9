"""The competitive write, our own: slots compete for the tokens of the interaction."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture, AttentionConfig
from rxt_model.flops import Flops, attention_core, weights
from rxt_model.layers.attention import SelfAttention
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import norm, random_rotation
from rxt_model.memory.write import MemoryWrite


class CompetitiveWrite(MemoryWrite):
    """A softmax over slots divides each token among them.

    A slot's gate is multiplied by its largest share of any token, so a slot that wins no token keeps its content.
    """

    own_start = ("slot_identity",)

    def __init__(self, config: Architecture) -> None:
        super().__init__(config)
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

    def start(self) -> None:
        """Start W_o W_v as the identity. Slots then look like encoder states, which a decoder may have learned to
        read."""
        rotation = random_rotation(self.value.weight.shape[0])
        self.value.weight.copy_(rotation)
        self.out.weight.copy_(rotation.T)

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Return keys and values [B, T, 2 d], zero at padding."""
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

    def flops(self, length: int, slots: int) -> Flops:
        on_tokens = weights(self.context) + weights(self.key) + weights(self.value)
        on_slots = weights(self) - on_tokens
        core = attention_core(self.context, length, length) + 4 * slots * length * self.query.out_features
        return Flops(2 * (length * on_tokens + slots * on_slots), core)

    def kept(self, length: int, slots: int) -> int:
        """Eleven tensors of slots and three of scores; of tokens what self-attention keeps, keys and values twice."""
        dim = self.query.out_features
        return slots * (11 * dim + 3 * length) + length * 15 * dim
