"""Sparse query attention (arXiv 2510.01817): fewer query heads than the width would hold, self and cross."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.cache import KeyValueCache
from rxt_model.config import AttentionConfig
from rxt_model.layers import Rope, rotate


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, heads * head_dim] -> [B, heads, T, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
    """Scaled dot-product attention, joined heads [B, T, heads * head_dim].

    `mask` is boolean, True where a key is seen, broadcastable to [B, heads, T, S]; every query must see some key.
    """
    repeat = q.shape[1] // k.shape[1]
    if repeat > 1:
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and mask is None)
    return out.transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Attention over one interaction with rotary positions and an optional sigmoid gate from the layer's input
    (arXiv 2505.06708): out = W_O(A * sigmoid(W_g x))."""

    def __init__(self, dim: int, head_dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.query_heads, self.kv_heads = config.query_heads, config.kv_heads
        self.widths = [config.query_heads * head_dim, config.kv_heads * head_dim, config.kv_heads * head_dim]
        gate_widths = {"none": 0, "elementwise": config.query_heads * head_dim, "headwise": config.query_heads}
        self.widths.append(gate_widths[config.gate])
        self.project = nn.Linear(dim, sum(self.widths), bias=False)
        self.out = nn.Linear(config.query_heads * head_dim, dim, bias=config.output_bias)

    def forward(
        self,
        x: Tensor,
        rope: Rope,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x [B, T, d] -> [B, T, d]. With a cache, keys and values of earlier calls are seen too."""
        q, k, v, gate = self.project(x).split(self.widths, -1)
        q = rotate(split_heads(q, self.query_heads), rope)
        k = rotate(split_heads(k, self.kv_heads), rope)
        v = split_heads(v, self.kv_heads)
        if cache is not None:
            k, v = cache.extend(self, k, v)
            mask, causal = cache.mask, False
        joined = attend(q, k, v, mask, causal)
        if gate.shape[-1] == joined.shape[-1]:
            joined = joined * gate.sigmoid()
        elif gate.shape[-1]:
            joined = (joined.unflatten(-1, (self.query_heads, -1)) * gate.sigmoid()[..., None]).flatten(-2)
        return self.out(joined)


class CrossAttention(nn.Module):
    """Attention from one set of vectors to another; never gated. Positions are rotary on the side that has an order:
    queries when tokens read memory, keys when slots read an interaction, neither among slots."""

    def __init__(self, dim: int, head_dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.query_heads, self.kv_heads = config.query_heads, config.kv_heads
        self.query = nn.Linear(dim, config.query_heads * head_dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * config.kv_heads * head_dim, bias=False)
        self.out = nn.Linear(config.query_heads * head_dim, dim, bias=config.output_bias)

    def keys_values(self, source: Tensor, rope: Rope | None = None) -> tuple[Tensor, Tensor]:
        """Projected keys and values [B, kv_heads, S, head_dim] of source [B, S, d]; they can be kept for a turn."""
        k, v = (split_heads(part, self.kv_heads) for part in self.key_value(source).chunk(2, -1))
        return (k if rope is None else rotate(k, rope)), v

    def forward(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None = None, rope: Rope | None = None
    ) -> Tensor:
        """x [B, T, d] -> [B, T, d]; `rope` rotates the queries."""
        q = split_heads(self.query(x), self.query_heads)
        if rope is not None:
            q = rotate(q, rope)
        return self.out(attend(q, *keys_values, mask))
