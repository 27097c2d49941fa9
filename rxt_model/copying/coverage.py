"""How far the words of interactions cover the words of a query, and what words weigh (`copying.matching`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from rxt_model.layers.parts import wide

if TYPE_CHECKING:
    from rxt_model.copying.marks import QueryWords

SMALLEST = 1e-6  # sum of weights, at least: a token that no word stands before matches as words of cosine 0 do


def covering(products: Tensor, number: Tensor, interactions: int) -> Tensor:
    """Return the largest of products [B, S, M], -1 or more, within each of N interactions, [B, S, N]; -1 if it has no
    source. `number` [B, M] is that of a source's interaction."""
    index = number[:, None].expand_as(products)
    least = products.new_full((*products.shape[:2], interactions), -1.0)
    return least.scatter_reduce(2, index, products, "amax")


def weighing(told: Tensor, terms_at: Tensor, number: Tensor, interactions: int) -> Tensor:
    """Return sum_j v_j / sqrt(n) of each of N interactions, [B, N], from what the words of sources weigh where they are
    told [B, M]. `terms_at` [B, M] says which sources hold a term; `number` is as in `covering`."""
    parts = torch.stack((wide(told) * terms_at, terms_at.to(wide(told).dtype)))
    sums = parts.new_zeros(2, len(told), interactions).scatter_add(2, number.expand_as(parts), parts)
    return sums[0] / sums[1].clamp(min=1).sqrt()


def shares_of(words: QueryWords, counted: Tensor) -> Tensor:
    """Return the share of each word [B, T, S] in what a token asks. `counted` [B or 1, T, S] says which words count for
    which token."""
    weights = wide(words.term).norm(dim=-1) * wide(words.asked).exp()
    shares = counted * weights[:, None]
    return shares / shares.sum(-1, keepdim=True).clamp(min=SMALLEST)


def unit(rows: Tensor) -> Tensor:
    """Return rows of length 1, in fp32 or wider."""
    return F.normalize(wide(rows), dim=-1)
