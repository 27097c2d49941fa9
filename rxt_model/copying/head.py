"""The copying head lets the decoder say a token that memory or the present interaction holds (arXiv 1704.04368).

    p(next = v) = (1 - c) softmax(logits)_v + c sum_i a_i [token of source i = v]

Sources are the slots (or raw encoder states) of the last stateful layer, and the tokens of the interaction so far.
`a` is one softmax over all sources, `c` a learned share. A slot holds embeddings alone, no ids: the head itself names
the token that it holds (`SlotTokens`). Beside its state it carries a mark, made of learned vectors and of the spelling
of the tokens around it (`copying.marks`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.copying.matching import NEVER, Matches
from rxt_model.copying.places import Places
from rxt_model.layers.parts import norm, wide

if TYPE_CHECKING:
    from rxt_model.decoder import Tokens

ASTRAY = 5.0  # at the start
NAMED_AT_ONCE = 1 << 22  # logits that `named` makes at once


class CopySource(NamedTuple):
    """What can be copied from memory: keys [G, M, d], tokens `ids` [G, M] and marks [G, M, 2 s + 5 + t + 3] of G
    conversations, which of them may be copied, `usable` [G, M] or [B, M], and which of N interactions correct which,
    `links` [G, N, N] (`copying.corrections`)."""

    keys: Tensor
    ids: Tensor
    marks: Tensor
    usable: Tensor
    links: Tensor

    def trimmed(self) -> CopySource:
        """Leave out the sources before the first that any conversation may copy. A selective write has the slots that
        were never written there."""
        first = int(self.usable.any(0).int().argmax())
        keys, ids, marks, usable = (part[:, first:] for part in self[:4])
        return CopySource(keys, ids, marks, usable, self.links)


class Pointers(NamedTuple):
    """The parts of the mixture at tokens [..]: the log share of the vocabulary [..], and the log shares [.., N] of N
    sources, which hold the tokens `ids`, of the same shape."""

    vocabulary: Tensor
    shares: Tensor
    ids: Tensor

    def at(self, place: tuple[Tensor | slice | int, ...]) -> Pointers:
        """Return the pointers at some places of the leading dimensions."""
        return Pointers(self.vocabulary[place], self.shares[place], self.ids[place])

    def mixed(self, logits: Tensor) -> Tensor:
        """Return the log-probabilities [.., V] of the mixture, given logits [.., V]."""
        own = wide(logits).log_softmax(-1) + self.vocabulary[..., None]
        copied = torch.zeros_like(own).scatter_add(-1, self.ids, self.shares.exp())
        return torch.logaddexp(own, copied.clamp(min=torch.finfo(own.dtype).tiny).log())

    def likeliest(self, log_softmax: Tensor) -> Tensor:
        """Return the likeliest token of the mixture, [..], given the log-probabilities [.., V] of the vocabulary."""
        own = (wide(log_softmax) + self.vocabulary[..., None]).exp()
        return own.scatter_add_(-1, self.ids, self.shares.exp()).argmax(-1)


class SlotTokens(nn.Module):
    """Says which token a slot holds, and makes the key with which it is copied. A slot of a selective write is the
    encoder state of one token. The stage `memory-pretrain` teaches the names."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.dim = config.dim
        self.norm = norm(config.dim, config.norm_eps)
        self.key, self.name = (nn.Linear(config.dim, config.dim, bias=False) for _ in range(2))

    def keys(self, states: Tensor) -> Tensor:
        """Return the keys [.., d] of slots or states [.., slot_dim]."""
        return self.key(self.norm(states[..., : self.dim]))

    def names(self, states: Tensor, embedding: Tensor) -> Tensor:
        """Return logits [.., V] of the token that each slot or state [.., slot_dim] holds, with the token
        embedding [V, d]."""
        return F.linear(self.name(self.norm(states[..., : self.dim])), embedding)

    @torch.no_grad()
    def named(self, states: Tensor, embedding: Tensor) -> Tensor:
        """Return the likeliest token of each slot or state: [.., slot_dim] -> [..]."""
        parts = states.flatten(0, -2).split(max(1, NAMED_AT_ONCE // len(embedding)))
        return torch.cat([self.names(part, embedding).argmax(-1) for part in parts]).view(states.shape[:-1])


class Copying(nn.Module):
    """Computes the pointers of a decoder's tokens from its head norm's output. Without memory a token copies only from
    the interaction, or from the history that a stateless model has before it. The share that is copied also depends on
    the longest run that a word follows (`follow`, learned, 0 at the start). Where a quote begins, a token that wants it
    (`begin`) points the more at a source, the larger the border before it is, and the less it goes astray (`astray`,
    learned)."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.query, self.own_key = (nn.Linear(config.dim, config.dim, bias=False) for _ in range(2))
        self.share, self.begin = nn.Linear(config.dim, 1), nn.Linear(config.dim, 1)
        self.follow = nn.Parameter(torch.zeros(1))
        self.astray = nn.Parameter(torch.full((1,), ASTRAY))

    def forward(
        self, hidden: Tensor, tokens: Tokens, matches: Matches, source: CopySource | None, places: Places
    ) -> Pointers:
        """Return the pointers [n] of the tokens at `places` from the states after the head norm, `hidden` [R, d], and
        what they match. A token can copy itself and earlier tokens of its document, those in the cache included."""
        layout, cache = tokens.layout, tokens.cache
        keys, held = layout.pad(self.own_key(hidden)), layout.pad(tokens.ids)
        if cache is not None:
            keys, held = (part[:, 0] for part in cache.extend(self, keys[:, None], held[:, None, :, None]))
            held = held[..., 0]
        states = places.take(layout.pad(hidden))
        queries = self.query(states) / math.sqrt(hidden.shape[-1])
        scores = (wide(places.products(queries, keys)) + matches.own).masked_fill(~matches.visible, NEVER)
        ids = held.index_select(0, places.row)
        if source is not None:
            assert matches.memory is not None
            usable, named = (
                part.repeat_interleave(places.rows // len(part), 0).index_select(0, places.row)
                for part in (source.usable, source.ids)
            )
            of_memory = wide(places.products(queries, source.keys)) + matches.memory
            scores = torch.cat((of_memory.masked_fill(~usable, NEVER), scores), -1)
            ids = torch.cat((named, ids), -1)
        if matches.border is not None and matches.lost is not None:  # of the first sources
            wanted = wide(self.begin(states))
            begins = wanted * matches.border - self.astray * wanted.clamp(min=0) * matches.lost
            scores = scores + F.pad(begins, (0, scores.shape[1] - begins.shape[1]))
        pointed = scores.log_softmax(-1)
        share = wide(self.share(states)).squeeze(-1) + self.follow * matches.run
        return Pointers(F.logsigmoid(-share), pointed + F.logsigmoid(share)[..., None], ids)
