"""A mark says where a token stands: which two tokens come before it (its signature), and what its interaction is about
(its topic).

Marks are made of a table with one row per token: `signature` columns, then `topic` columns. A topic is the direction of
a sum of rows. The encoder puts a token's mark beside its state, so every slot carries both. `layers.matching` compares
marks. So a new model finds, from its first step on, what was said in the same words. Attention alone takes long to
learn this in a small model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import Architecture


def mark_table(config: Architecture, vocab_size: int) -> nn.Embedding | None:
    """Make the table of a model with a copying head: rows of `signature_dim` + `topic_dim` columns."""
    return nn.Embedding(vocab_size, config.signature_dim + config.topic_dim) if config.copying else None


def signatures(rows: Tensor, positions: Tensor, distance: int) -> Tensor:
    """Return signatures [B, S, 2 s] from the signature columns [B, S, s] of tokens at `positions` [B, S] of their
    interaction or document. `distance` is that of the last token before: 1 for a token itself, 0 for the one that comes
    next."""
    parts = []
    for k in (distance, distance + 1):
        before = F.pad(rows, (0, 0, k, 0))[:, : rows.shape[1]]
        parts.append(before * (positions >= k)[..., None])
    return torch.cat(parts, -1)


def topics(rows: Tensor, counted: Tensor) -> Tensor:
    """Return topics [B, T, t] of unit length, or 0, from topic columns [B, S, t]. `counted` [B or 1, T, S] says which
    tokens count in which topic."""
    return F.normalize(counted.to(rows.dtype) @ rows, dim=-1)


def marks(rows: Tensor, positions: Tensor, documents: Tensor, signature: int) -> Tensor:
    """Return the marks [B, T, 2 s + t] of the tokens of whole interactions from their rows of the table, [B, T, s + t],
    zero at padding. `documents` [B, T] are numbers, -1 at padding; `signature` is s."""
    real = (documents >= 0)[..., None]
    before = signatures(rows[..., :signature], positions, 1)
    about = topics(rows[..., signature:], documents[:, :, None] == documents[:, None])
    return torch.cat((before, about), -1) * real
