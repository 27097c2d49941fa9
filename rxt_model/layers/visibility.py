"""Decide what a token may see: only its own document, and with `causal` only what stands before it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def same_document(queries: Tensor, keys: Tensor, causal: bool = False) -> Tensor | BlockMask:
    """Return who sees whom, from numbers of documents [B, T] and [B, S], as `attention.attend` takes it.

    On a CPU this is a mask [B, 1, T, S]. On a GPU it is a block mask of FlexAttention, where blocks with nothing to see
    cost nothing. Padding (-1) sees padding, so every query has a key. `causal` needs T = S.
    """
    if queries.is_cuda:
        return _blocks(queries, keys, causal)
    same = (queries[:, :, None] == keys[:, None, :])[:, None]
    return same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril() if causal else same


def _blocks(queries: Tensor, keys: Tensor, causal: bool) -> BlockMask:
    # slow to import, and only needed on a GPU
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = queries[row, query] == keys[row, key]
        return same & (query >= key) if causal else same

    return create_block_mask(seen, len(queries), None, queries.shape[1], keys.shape[1], device=queries.device)


@cache
def compiled_flex_attention():
    """Return FlexAttention, which generates a kernel for the mask it gets. A compiled layer takes the kernel in.

    It is the fastest attention in torch for packed documents at head width 32
    (tests/benchmarks/results/attention.jsonl).
    """
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
