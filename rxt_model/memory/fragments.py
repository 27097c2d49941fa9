"""Mixture-of-Memory: a conversation keeps every interaction, and its slots hold those that a query needs.

A fragment holds the `size` most important tokens of one interaction, in every layer. The store only grows, and lies in
the memory of the host. Before an answer the slots are written anew, in one write:

    STM(query) = write(STM_0, [fragments of the `recent` newest interactions, and of the `loaded` best of the others])

So they hold what they would hold if only these interactions had been told; and as long as these are all, a conversation
has plain short-term memory. How well fragment n of N answers a query is told by late interaction, as `copying.matching`
does it for slots: each word of the query looks for its most similar word. In a large store, words that many fragments
have tell little, so a word counts the less (as in tf-idf), the more fragments d_i have it, with a cosine of `HELD`:

    sum_i w_i log((N + 1) / (d_i + 1)) max(0, max_j cos(x_i, y_nj))^2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rxt_model.config import STEM_LETTERS
from rxt_model.copying.coverage import covering, shares_of, unit
from rxt_model.copying.marks import with_age
from rxt_model.memory.registry import WRITTEN_RMS
from rxt_model.memory.rows import Rows

if TYPE_CHECKING:
    from rxt_model.model import ReactiveTransformer

HELD = 0.7  # cosine from which on a fragment has a word of the query


@dataclass(frozen=True)
class Fragments:
    """The interactions of one conversation, in their order. A store never changes: `kept` returns another.

    `states` [N, L, F, w], in the memory of the host, are zero at places that hold no token, which come first. Of the M
    words that users said in all of them, where the model is: `terms` [M, t], of length 1, `stems` [M, 5], and the
    `number` [M] of the fragment.
    """

    states: Rows
    terms: Rows
    stems: Rows
    number: Rows

    @classmethod
    def of(cls, model: ReactiveTransformer, states: Tensor | None = None) -> Fragments:
        """Return the store of these `states` [N, L, F, w], by default of none. Raises ValueError for states of another
        shape, and for a model without fragments."""
        config = model.config
        if config.memory.fragments is None:
            raise ValueError("memory.fragments = None: this model keeps no fragments")
        shape = (config.stateful_layers, config.memory.fragments.size, config.slot_dim)
        if states is None:
            states = torch.empty(0, *shape, dtype=model.embedding.weight.dtype)
        if states.shape[1:] != shape:
            raise ValueError(f"fragments.shape = {tuple(states.shape)}: must be (any, {', '.join(map(str, shape))})")
        words = _words(model, states.to(model.embedding.weight.device), 0)
        return cls(Rows(states.cpu()), *(Rows(part) for part in words))

    def kept(self, model: ReactiveTransformer, encoded: Tensor, mask: Tensor) -> Fragments:
        """Return the store with one more interaction, of which the encoded data are [L, 1, T, w], with mask [1, T]."""
        encoded = encoded[:, :, mask[0]]
        empty = encoded.new_zeros(len(encoded), 1, self.states.tensor.shape[2], encoded.shape[3])
        states = _written(model, empty, encoded).movedim(1, 0)
        words = _words(model, states, len(self))
        parts = (rows.with_rows(part) for rows, part in zip((self.terms, self.stems, self.number), words, strict=True))
        return Fragments(self.states.with_rows(states.cpu()), *parts)

    def active(self, model: ReactiveTransformer, start: Tensor, query: Sequence[int] | None = None) -> Tensor:
        """Return the memory [L, 1, S, w] that the answer to a query reads. `start` [L, 1, S, w] is the memory before
        the first interaction. Without a query, the newest interactions are loaded."""
        chosen = self.chosen(model, query)
        if not chosen:
            return start
        told = []
        for age, states in zip(reversed(range(len(chosen))), self.states.tensor[chosen], strict=True):
            used = states[0].float().square().mean(-1).sqrt() >= WRITTEN_RMS
            told.append(with_age(states[:, used], states.new_full((), age)))
        return _written(model, start, torch.cat(told, 1)[:, None].to(start))

    def chosen(self, model: ReactiveTransformer, query: Sequence[int] | None = None) -> list[int]:
        """Return the numbers of the fragments that are loaded for a query, in their order. Of equally good ones, the
        newer are loaded."""
        config = model.config.memory.fragments
        assert config is not None, "a model without fragments has no store of them"
        older = max(0, len(self) - config.recent)
        first = max(0, older - config.loaded)
        loaded = range(first, older)
        if query is not None and first:
            order = self.scores(model, query)[:older].flip(0).sort(descending=True, stable=True).indices
            loaded = sorted(older - 1 - place for place in order[: config.loaded].tolist())
        return [*loaded, *range(older, len(self))]

    def scores(self, model: ReactiveTransformer, query: Sequence[int]) -> Tensor:
        """Return how well each fragment answers a query: [N]."""
        matching, ids = model.decoder.matching, torch.tensor([query], device=model.embedding.weight.device)
        assert matching is not None, "only a model with a copying head has fragments"
        asked, terms, number = model.query_words(ids), self.terms.tensor, self.number.tensor
        shares = shares_of(asked, torch.ones_like(ids, dtype=torch.bool)[None])[0, 0]
        cosines = matching.alike(unit(asked.term) @ terms.T, asked.stem, self.stems.tensor[None])
        held = covering(cosines, number[None], len(self))[0].clamp(min=0)
        rarity = ((len(self) + 1) / ((held >= HELD).sum(1) + 1)).log()
        return (shares * rarity) @ held.square()

    @property
    def nbytes(self) -> int:
        """The bytes of what is kept. Its buffers have room for more, up to as much again."""
        return sum(rows.tensor.nbytes for rows in (self.states, self.terms, self.stems, self.number))

    def __len__(self) -> int:
        return len(self.states)


def _words(model: ReactiveTransformer, states: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return terms, stems and numbers (`Fragments`) of the words in the last layer of fragments [N, L, F, w], of which
    the first has the number `first`."""
    config = model.config
    mark = states[:, -1, :, config.dim + 2 * config.signature_dim :]
    stem, term, _ = mark.split((STEM_LETTERS, config.term_dim, 3), -1)
    worded = term.any(-1)
    return unit(term[worded]), stem[worded], worded.nonzero()[:, 0] + first


def _written(model: ReactiveTransformer, memory: Tensor, encoded: Tensor) -> Tensor:
    """Write encoded data [L, 1, T, w] to a memory of any number of slots."""
    mask = torch.ones(encoded.shape[1:3], dtype=torch.bool, device=encoded.device)
    return model.memory_attention(memory, model.project(encoded, mask), mask)
