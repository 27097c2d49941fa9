"""Matching compares the marks of a decoder's tokens with those of what can be copied (`layers.marks`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.layers.marks import queried, signatures, topics
from rxt_model.layers.parts import wide

if TYPE_CHECKING:
    from rxt_model.decoder import Tokens

NEVER = -1e4  # score of a source that is never used; finite, so that rows without any other have a gradient
MATCH = 4.0  # score of an equal token before, at the start
SMALLEST = 1e-12  # squared length of a topic, at least: that of an interaction without words is 0
FOUND = 0.5  # size of what tells the decoder of a match, at the start: that of a fresh embedding
GAIN, THRESHOLD, RECENCY, DAMPING = 2.5, 0.6, 0.5, 0.5  # at the start


class Matches(NamedTuple):
    """How well tokens match sources. `visible` [B or 1, T, S] says which tokens of the sequence a token sees.

    Two scores are added to those of a pointer: `memory` [B, T, M], None without slots to copy from, and `own` [B, T, S]
    of the sequence. `topics` [B, T, N] are the scores of topics alone, of memory or, for a model without memory, of
    earlier interactions: NEVER if a source is not usable.
    """

    visible: Tensor
    memory: Tensor | None
    own: Tensor
    topics: Tensor | None


class Matching(nn.Module):
    """Scores how well a source with topic y answers the tokens so far, whose topic is x, by

        e^gain (x y / (|x| |y|^damping) - threshold) - recency * (share of the usable sources that are newer)

    A score of 0 is as likely as "nothing matches". With damping 1 the first term is the cosine. With less damping,
    words of y that x lacks lower the score less, so long statements are found more easily. Signatures are scored by a
    bilinear form, which starts as a multiple of the dot product. Sources stand in the order in which they were written.
    """

    own_start = ("weight",)

    def __init__(self, config: Architecture, *, stateful: bool) -> None:
        super().__init__()
        self.width, self.topic_dim, self.stateful = config.signature_dim, config.topic_dim, stateful
        scale = MATCH * (config.signature_dim + config.topic_dim) / config.signature_dim
        self.weight = nn.Parameter(scale * torch.eye(2 * self.width))
        start = (GAIN, THRESHOLD, RECENCY, DAMPING)
        self.gain, self.threshold, self.recency, self.damping = (
            nn.Parameter(torch.full((1,), value)) for value in start
        )
        self.found = nn.Parameter(FOUND * torch.randn(config.dim))

    def forward(self, rows: Tensor, tokens: Tokens, held: Tensor | None, usable: Tensor | None) -> Matches:
        """Compare tokens, of which `rows` [R, s + t + 2] are the rows of the table and the edges, with the marks `held`
        [G, M, 2 s + t] of G conversations, of which `usable` [G, M] or [B, M] can be copied, and with the tokens of the
        sequence itself."""
        seen, positions, place, visible = self._seen(rows, tokens)
        opens = _opens(seen[..., -2] > 0, tokens.documents)
        before, about = seen[..., : self.width], queried(seen[..., self.width : -2], opens, seen[..., -1] > 0)
        asked = _at(signatures(before, positions, 0), place) @ self.weight
        own = wide(asked @ signatures(before, positions, 1).transpose(1, 2))
        if not self.stateful:
            found = self._history(about, opens.cumsum(-1), place, visible)
            return Matches(visible, None, own + found.masked_fill(found == NEVER, 0), found)
        if held is None or usable is None:
            return Matches(visible, None, own, None)
        usable = usable.repeat_interleave(len(asked) // len(usable), 0)[:, None]
        signature, topic = held.split((2 * self.width, self.topic_dim), -1)
        found = self._scores(against(F.normalize(topics(about, visible), dim=-1), self._damped(topic)), usable)
        return Matches(visible, found + wide(against(asked, signature)), own, found)

    def evidence(self, scores: Tensor) -> Tensor:
        """Return what tells the decoder whether any source matches, [B, T, d], from scores of topics [B, T, N]."""
        return scores.amax(-1, keepdim=True).sigmoid().to(self.found.dtype) * self.found

    def _history(self, about: Tensor, number: Tensor, place: Tensor, visible: Tensor) -> Tensor:
        """Score tokens at `place` [B, T] of all that is seen by the topics of earlier interactions: [B, T, S]."""
        mine = number.gather(1, place)[..., None]
        of_tokens = F.normalize(topics(about, visible & (mine == number[:, None])), dim=-1)
        products = of_tokens @ self._damped(_of_interactions(about, number)).transpose(1, 2)
        return self._scores(products, visible & (mine > number[:, None]))

    def _damped(self, topic: Tensor) -> Tensor:
        size = wide(topic).square().sum(-1, keepdim=True).clamp(min=SMALLEST)
        return topic * size.pow(-self.damping / 2).to(topic.dtype)

    def _scores(self, products: Tensor, usable: Tensor) -> Tensor:
        counted = wide(usable.to(products.dtype))
        newer = (counted.flip(-1).cumsum(-1).flip(-1) - counted) / counted.sum(-1, keepdim=True).clamp(min=1)
        scores = self.gain.exp() * (wide(products) - self.threshold) - self.recency * newer
        return scores.masked_fill(~usable, NEVER)

    def _seen(self, rows: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return of all tokens, cached ones included, the rows of the table and edges, [B, S, s + t + 2], and their
        positions [B, S]; of each token its place among them [B, T], and which of them it sees [B or 1, T, S]."""
        layout, cache = tokens.layout, tokens.cache
        rows = layout.pad(rows)
        if cache is not None:
            seen = cache.extend(self, rows[:, None])[0][:, 0]
            index = torch.arange(seen.shape[1], device=seen.device)
            return seen, index.expand(len(seen), -1), cache.positions, index <= cache.positions[..., None]
        index = torch.arange(layout.length, device=rows.device)
        visible = (index <= index[:, None])[None]
        if tokens.documents is not None:
            visible = visible & (tokens.documents[:, :, None] == tokens.documents[:, None])
        return rows, layout.pad(tokens.positions), index.expand(len(rows), -1), visible


def _at(rows: Tensor, place: Tensor) -> Tensor:
    """Return the rows [B, T, w] at `place` [B, T] of rows [B, S, w]."""
    return rows.gather(1, place[..., None].expand(-1, -1, rows.shape[2]))


def against(queries: Tensor, keys: Tensor) -> Tensor:
    """Return products [B, T, M] of queries [B, T, w] and keys [G, M, w], each row of which serves B / G queries."""
    groups = len(keys)
    found = queries.unflatten(0, (groups, -1)).flatten(1, 2) @ keys.transpose(1, 2)
    return found.unflatten(1, (len(queries) // groups, -1)).flatten(0, 1)


def _opens(opens: Tensor, documents: Tensor | None) -> Tensor:
    """Add the first tokens of documents, of which the numbers [B, S] are given, to the tokens [B, S] that open an
    interaction."""
    if documents is None:
        return opens
    return opens | F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)


def _of_interactions(rows: Tensor, number: Tensor) -> Tensor:
    """Return for each token the topic of its interaction, [B, S, t], from the topic columns [B, S, t] of queries and
    numbers of interactions [B, S]."""
    place = number[..., None].expand_as(rows)
    sums = rows.new_zeros(len(rows), number.shape[1] + 1, rows.shape[2]).scatter_add(1, place, rows)
    return sums.gather(1, place)
