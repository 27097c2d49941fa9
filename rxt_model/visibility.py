"""What a token may see: only its own document, and of that perhaps only what stands before it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def same_document(queries: Tensor, keys: Tensor, causal: bool = False) -> Tensor | BlockMask:
    """Numbers of documents [B, T] and [B, S] -> who sees whom, as `attention.attend` takes it: [B, 1, T, S] on a CPU,
    blocks of FlexAttention on a GPU, where those that hold nothing to see cost nothing.

    Padding (-1) sees padding, so no query is without a key. `causal` needs T = S.
    """
    if queries.is_cuda:
        return _blocks(queries, keys, causal)
    same = (queries[:, :, None] == keys[:, None, :])[:, None]
    return same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril() if causal else same


def _blocks(queries: Tensor, keys: Tensor, causal: bool) -> BlockMask:
    # slow to import, and of use on a GPU alone
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = queries[row, query] == keys[row, key]
        return same & (query >= key) if causal else same

    return create_block_mask(seen, len(queries), None, queries.shape[1], keys.shape[1], device=queries.device)


@cache
def compiled_flex_attention():
    """FlexAttention, whose kernel is generated for the mask at hand; where a layer is compiled it becomes a part of it.

    Of what torch has, the fastest for packed documents at head width 32 (tests/benchmarks/results/attention.jsonl).
    """
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
