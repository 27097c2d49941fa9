"""A mark says where a token stands: which two tokens come before it (its signature), and what its interaction is about
(its topic).

Marks are made of a table with one row per token: `signature` columns, then `topic` columns. The topic of an interaction
is the sum of the rows of its query, which is all before thinking and answer. The encoder puts a token's mark beside its
state, so every slot carries both. `layers.matching` compares marks. So a new model finds, from its first step on, what
was said in the same words. Attention alone takes long to learn this in a small model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import Architecture, ControlTokens


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


def edges(ids: Tensor, tokens: ControlTokens) -> Tensor:
    """Return two columns for each id [R]: whether the token opens an interaction, and whether it begins thinking or an
    answer."""
    return torch.stack((ids == tokens.bos, (ids == tokens.answer) | (ids == tokens.think)), -1)


def queried(rows: Tensor, opens: Tensor, answers: Tensor) -> Tensor:
    """Return the topic columns [B, S, t], set to 0 outside queries: from the token that begins thinking or an answer to
    the end of the interaction. `opens` and `answers` [B, S] mark the tokens where interactions and answers begin."""
    places = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    opened, answered = (((places * at).cummax(-1).values) for at in (opens, answers))
    return rows * (answered <= opened)[..., None]


def topics(rows: Tensor, counted: Tensor) -> Tensor:
    """Return topics [B, T, t] from the topic columns [B, S, t] of queries. `counted` [B or 1, T, S] says which tokens
    count in which topic."""
    return counted.to(rows.dtype) @ rows


def marks(rows: Tensor, positions: Tensor, documents: Tensor, signature: int) -> Tensor:
    """Return the marks [B, T, 2 s + t] of the tokens of whole interactions from their rows of the table and their
    edges, [B, T, s + t + 2], zero at padding. `documents` [B, T] are numbers, -1 at padding; `signature` is s."""
    real = (documents >= 0)[..., None]
    before = signatures(rows[..., :signature], positions, 1)
    said = queried(rows[..., signature:-2], positions == 0, rows[..., -1] > 0)
    return torch.cat((before, topics(said, documents[:, :, None] == documents[:, None])), -1) * real
