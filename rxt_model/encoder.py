"""The memory encoder: a finished interaction -> one tensor of encoded data per layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rxt_model.attention import SelfAttention
from rxt_model.config import Architecture
from rxt_model.layers import SwiGLU, norm
from rxt_model.layout import Layout


class EncoderLayer(nn.Module):
    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.attention_norm = norm(config.dim, config.norm_eps)
        self.attention = SelfAttention(config.dim, config.head_dim, config.encoder_attention)
        self.feed_forward_norm = norm(config.dim, config.norm_eps)
        self.feed_forward = SwiGLU(config.dim, config.encoder_dim)

    def forward(self, x: Tensor, rope: Tensor, layout: Layout, mask: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rope, layout, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Encoder(nn.Module):
    """Bidirectional layers, one per stateful decoder layer; no final norm: encoded data is the residual stream."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.stateful_layers))

    def forward(self, x: Tensor, rope: Tensor, layout: Layout, mask: Tensor) -> Tensor:
        """x [R, d] real tokens, rope [R, head_dim / 2], mask broadcastable to [B, 1, T, T] -> [L, B, T, d], zero at
        padding."""
        outputs = []
        for layer in self.layers:
            x = layer(x, rope, layout, mask)
            outputs.append(x)
        return layout.pad(torch.stack(outputs, 1)).movedim(2, 0)
