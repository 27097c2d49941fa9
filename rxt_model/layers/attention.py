"""Sparse query attention (arXiv 2510.01817) with fewer query heads than the width would hold: self and cross."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import AttentionConfig
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import norm, rotate
from rxt_model.layers.visibility import compiled_flex_attention

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split joined heads: [B, T, heads * head_dim] -> [B, heads, T, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | BlockMask | None, causal: bool = False) -> Tensor:
    """Compute scaled dot-product attention and return joined heads [B, T, heads * head_dim].

    `mask` is boolean, True where a key is seen, and broadcasts to [B, heads, T, S]; or it comes from
    `visibility.same_document`. Every query must see some key.
    """
    grouped = q.shape[1] != k.shape[1]
    if not (mask is None or isinstance(mask, Tensor)):
        out = compiled_flex_attention()(q, k, v, block_mask=mask, enable_gqa=grouped)
        return out.transpose(1, 2).flatten(-2)
    if grouped and mask is not None and q.is_cuda:  # no fused kernel on a GPU takes both a mask and fewer key heads
        repeat = q.shape[1] // k.shape[1]
        k, v, grouped = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), False
    causal = causal and mask is None
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped)
    return out.transpose(1, 2).flatten(-2)


def _head_norms(head_dim: int, config: AttentionConfig, eps: float) -> tuple[nn.RMSNorm | None, nn.RMSNorm | None]:
    """Make the norms of query heads and of key heads, which come before the rotation."""
    return (norm(head_dim, eps), norm(head_dim, eps)) if config.qk_norm else (None, None)


class SelfAttention(nn.Module):
    """Attention over one interaction, with rotary positions and an optional sigmoid gate from the layer's input
    (arXiv 2505.06708): out = W_O(A * sigmoid(W_g x))."""

    def __init__(self, dim: int, head_dim: int, config: AttentionConfig, eps: float = 1e-6) -> None:
        super().__init__()
        self.query_heads, self.kv_heads = config.query_heads, config.kv_heads
        heads = config.query_heads + 2 * config.kv_heads
        gate_width = {"none": 0, "elementwise": config.query_heads * head_dim, "headwise": config.query_heads}
        self.widths = [heads * head_dim, gate_width[config.gate]]
        self.project = nn.Linear(dim, sum(self.widths), bias=False)
        self.query_norm, self.key_norm = _head_norms(head_dim, config, eps)
        self.out = nn.Linear(config.query_heads * head_dim, dim, bias=config.output_bias)

    def forward(
        self,
        x: Tensor,
        rope: Tensor,
        layout: Layout,
        mask: Tensor | BlockMask | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Map real tokens x [R, d] to [R, d]; `rope` is [R, head_dim / 2]. With a cache the tokens also see keys and
        values of earlier calls."""
        heads, gate = self.project(x).split(self.widths, -1)
        heads = heads.unflatten(-1, (self.query_heads + 2 * self.kv_heads, -1))
        turned, v = heads.split((self.query_heads + self.kv_heads, self.kv_heads), 1)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = turned.split((self.query_heads, self.kv_heads), 1)
            turned = torch.cat((self.query_norm(q), self.key_norm(k)), 1)
        joined = layout.pad(torch.cat((rotate(turned, rope[:, None]), v), 1)).transpose(1, 2)
        q, k, v = joined.split((self.query_heads, self.kv_heads, self.kv_heads), 1)
        if cache is not None:
            k, v = cache.extend(self, k, v)
            mask, causal = cache.mask, cache.mask is None
        attended = layout.pack(attend(q, k, v, mask, causal))
        if gate.shape[-1] == attended.shape[-1]:
            attended = attended * gate.sigmoid()
        elif gate.shape[-1]:
            attended = (attended.unflatten(-1, (self.query_heads, -1)) * gate.sigmoid()[..., None]).flatten(-2)
        return self.out(attended)


class CrossAttention(nn.Module):
    """Attention from one set of vectors to another, never gated.

    Rotary positions apply to the side that has an order: queries if tokens read memory, keys if slots read an
    interaction. Between slots there are none.
    """

    def __init__(self, dim: int, head_dim: int, config: AttentionConfig, eps: float = 1e-6) -> None:
        super().__init__()
        self.query_heads, self.kv_heads = config.query_heads, config.kv_heads
        self.query_norm, self.key_norm = _head_norms(head_dim, config, eps)
        self.query = nn.Linear(dim, config.query_heads * head_dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * config.kv_heads * head_dim, bias=False)
        self.out = nn.Linear(config.query_heads * head_dim, dim, bias=config.output_bias)

    def keys_values(self, source: Tensor, rope: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, kv_heads, S, head_dim] of source [B, S, d]; they can be kept for a turn."""
        k, v = (split_heads(part, self.kv_heads) for part in self.key_value(source).chunk(2, -1))
        k = k if self.key_norm is None else self.key_norm(k)
        return (k if rope is None else rotate(k, rope)), v

    def queries(self, x: Tensor, rope: Tensor | None = None) -> Tensor:
        """Projected queries [R, query_heads, head_dim] of x [R, d]."""
        q = self.query(x).unflatten(-1, (self.query_heads, -1))
        q = q if self.query_norm is None else self.query_norm(q)
        return q if rope is None else rotate(q, rope[:, None])

    def weights(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """What each query gives each key, [B, query_heads, T, S], of queries [B, T, query_heads, head_dim], keys
        [B, kv_heads, S, head_dim] and a mask [B, T, S], True where a key is seen."""
        keys = keys.repeat_interleave(self.query_heads // self.kv_heads, 1)
        scores = torch.einsum("bthd,bhsd->bhts", queries, keys) / math.sqrt(keys.shape[-1])
        return scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        keys_values: tuple[Tensor, Tensor],
        mask: Tensor | BlockMask | None = None,
        rope: Tensor | None = None,
    ) -> Tensor:
        """Map real tokens x [R, d] to [R, d]; `rope` [R, head_dim / 2] rotates the queries.

        Keys and values may have rows / N rows. Then each row serves N consecutive rows (the interactions of one
        conversation) without a copy. `mask` broadcasts to [rows, 1, T, S].
        """
        q = layout.pad(self.queries(x, rope))
        groups = keys_values[0].shape[0]
        if isinstance(mask, Tensor) and groups != layout.rows:
            mask = mask.expand(layout.rows, 1, layout.length, mask.shape[-1])
            mask = mask[:, 0].unflatten(0, (groups, -1)).flatten(1, 2)[:, None]
        q = q.flatten(0, 1).unflatten(0, (groups, -1)).transpose(1, 2)
        attended = attend(q, *keys_values, mask).flatten(0, 1).unflatten(0, (layout.rows, layout.length))
        return self.out(layout.pack(attended))
