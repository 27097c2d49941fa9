"""A mark says where a token stands: which two tokens come before it (its signature), which word of a query it is (its
stem and its term), how much this word weighs where it is told, where it stands among the clauses of the query (its
place), and how many interactions ago it was said (its age).

Marks are made of a table with one row per token. A row has `signature` columns, `term` columns, and three weights: that
of the word where it is told, that where it is asked, and that of a border before it (`copying.clauses`). Beside it
stand the token's spelling (`copying.stems`) and its edges (`edges`). Only words of a query have a stem, a term, weights
and a place. A query is all before thinking and answer. The encoder puts a token's mark beside its state, so every slot
carries one. `copying.matching` compares marks. So a new model finds, from its first step on, what was said in the same
words. Attention alone takes long to learn this in a small model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import Architecture, ControlTokens
from rxt_model.copying.clauses import places_of
from rxt_model.copying.stems import SPELLED, stems

EDGES = 3  # columns that `edges` adds to a row of the table


def mark_columns(config: Architecture) -> int:
    """Return the columns of the table: a signature, a term, and three weights."""
    return config.signature_dim + config.term_dim + 3


def mark_table(config: Architecture, vocab_size: int) -> nn.Embedding | None:
    """Make the table of a model with a copying head."""
    return nn.Embedding(vocab_size, mark_columns(config)) if config.copying else None


def no_spelling(config: Architecture, vocab_size: int) -> Tensor | None:
    """Return the spelling of a vocabulary that is not known, for a model with a copying head (`copying.stems`)."""
    return torch.zeros(vocab_size, SPELLED, dtype=torch.uint8) if config.copying else None


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
    """Return three columns for each id [R]: whether the token opens an interaction, whether it begins thinking or an
    answer, and whether it is no control token."""
    answers = (ids == tokens.answer) | (ids == tokens.think)
    return torch.stack((ids == tokens.bos, answers, ids > tokens.highest), -1)


class QueryWords(NamedTuple):
    """Tokens as words of queries: their `stem` [B, S, 5], `term` [B, S, t], what they weigh where they are `told` and
    where they are `asked` [B, S], and their `place` among the clauses [B, S] (`copying.clauses`). All are 0
    outside words of queries."""

    stem: Tensor
    term: Tensor
    told: Tensor
    asked: Tensor
    place: Tensor

    @property
    def said(self) -> Tensor:
        """Which tokens are words of queries, [B, S]."""
        return self.term.any(-1)

    def since(self, first: int) -> QueryWords:
        """Leave out the tokens before `first`."""
        return QueryWords(*(part[:, first:] for part in self))


def words(rows: Tensor, opens: Tensor) -> QueryWords:
    """Return the words of tokens from their rows without a signature, [B, S, t + 3 + 6 + 3]. A query ends with the
    token that begins thinking or an answer. `opens` [B, S] marks the tokens where interactions begin."""
    places = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    opened, answered = (((places * at).cummax(-1).values) for at in (opens, rows[..., -2] > 0))
    said = (answered <= opened) & (rows[..., -1] > 0)
    table, spelled, _ = rows.split((rows.shape[-1] - SPELLED - EDGES, SPELLED, EDGES), -1)
    own = table * said[..., None]
    place = places_of(table[..., -1], spelled, said, opens)
    return QueryWords(stems(spelled, opens) * said[..., None], own[..., :-3], own[..., -3], own[..., -2], place)


def marks(rows: Tensor, positions: Tensor, documents: Tensor, signature: int) -> Tensor:
    """Return the marks [B, T, 2 s + 5 + t + 3] of the tokens of whole interactions, of age 0, from their rows
    [B, T, s + t + 3 + 6 + 3], zero at padding. `documents` [B, T] are numbers, -1 at padding; `signature` is s."""
    before = signatures(rows[..., :signature], positions, 1)
    own = words(rows[..., signature:], positions == 0)
    mark = torch.cat((before, own.stem, own.term, own.told[..., None], own.place[..., None]), -1)
    return F.pad(mark, (0, 1)) * (documents >= 0)[..., None]


def with_age(states: Tensor, ages: Tensor) -> Tensor:
    """Return states [.., slot_dim] that carry marks, with these ages, which broadcast to [..]."""
    return torch.cat((states[..., :-1], ages.to(states.dtype).expand(states.shape[:-1])[..., None]), -1)
