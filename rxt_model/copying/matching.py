"""Matching compares the marks of a decoder's tokens with those of what can be copied (`copying.marks`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import STEM_LETTERS, Architecture
from rxt_model.copying.clauses import Clauses, borders_of, straying
from rxt_model.copying.corrections import Corrections, corrected
from rxt_model.copying.coverage import covering, shares_of, unit, weighing
from rxt_model.copying.marks import EDGES, QueryWords, mark_columns, signatures, words
from rxt_model.copying.places import Places
from rxt_model.copying.runs import ending, runs
from rxt_model.copying.stems import share
from rxt_model.layers.parts import wide

if TYPE_CHECKING:
    from rxt_model.copying.head import CopySource
    from rxt_model.decoder import Tokens

NEVER = -1e4  # score of a source that is never used; finite, so that rows without any other have a gradient
MATCH = 4.0  # score of an equal token before, at the start
FOUND = 0.5  # size of what tells the decoder of a match, at the start: that of a fresh embedding
GAIN, THRESHOLD, RECENCY = 2.5, 0.6, 0.5  # at the start
STEM_COSINES = {3: 0.2, 4: 0.6, 5: 1.0}  # cosine of words that share so many letters, at least, at the start
FOLLOW = 1.0  # score of each token of a run before, at the start


class Matches(NamedTuple):
    """How well tokens match sources. `matched` [B, T, M or S] are the scores of the interactions of sources: of those
    in memory or, for a model without memory, of earlier ones. It is NEVER if a source is not usable.

    The rest is about n places (`copying.places`). `visible` [n, S] says which tokens of the sequence they see. Two
    scores are added to those of a pointer: `memory` [n, M], None without slots to copy from, and `own` [n, S] of the
    sequence. `run` [n] is the longest run that a word of a query follows. Of each source of `matched`, `border` is
    that before it, and `lost` how far it goes astray, [n, M or S] (`copying.clauses`).
    """

    matched: Tensor | None
    visible: Tensor
    memory: Tensor | None
    own: Tensor
    run: Tensor
    border: Tensor | None = None
    lost: Tensor | None = None


class Matching(nn.Module):
    """Scores how well the interaction of a source answers the words of a query so far, by late interaction (ColBERT,
    arXiv 2004.12832):

        e^gain (sum_i w_i max_j cos(x_i, y_j) - threshold) + sum_j v_j / sqrt(n)
            - recency * (share of the usable sources that are newer)

    x_i are the terms of the query's words, y_j those of the n words that the source's interaction still has among the
    sources. The weights w_i are |x_i| e^a_i, divided by their sum; a_i and v_j are learned for each token. v_j lets a
    correction ("Actually, ...") win over what it corrects. Where interaction n corrects others by c_nm
    (`copying.corrections`), its largest cosine is at least sum_m c_nm (the largest of m + 1) - 1. A score of 0 is as
    likely as "nothing matches". Each word of the query counts once, so a long statement is found as easily as a short
    one. Words that share 3, 4 or 5 letters of their stems (`copying.stems`) have at least a learned cosine.

    Signatures are scored by a bilinear form, which starts as a multiple of the dot product. Each token of the run that
    a source follows (`copying.runs`) adds a learned constant. What it costs to go astray is subtracted
    (`copying.clauses`). Sources stand in the order in which they were written.
    """

    own_start = ("weight",)

    def __init__(self, config: Architecture, *, stateful: bool) -> None:
        super().__init__()
        self.width, self.term_dim, self.stateful = config.signature_dim, config.term_dim, stateful
        scale = MATCH * mark_columns(config) / config.signature_dim
        self.weight = nn.Parameter(scale * torch.eye(2 * self.width))
        self.stem_cosines = nn.Parameter(torch.tensor(list(STEM_COSINES.values())))
        start = (GAIN, THRESHOLD, RECENCY, FOLLOW)
        self.gain, self.threshold, self.recency, self.follow = (
            nn.Parameter(torch.full((1,), value)) for value in start
        )
        self.corrections, self.clauses = Corrections(), Clauses()
        self.found = nn.Parameter(FOUND * torch.randn(config.dim))

    def forward(self, rows: Tensor, tokens: Tokens, source: CopySource | None, places: Places) -> Matches:
        """Compare tokens, of which `rows` [R, s + t + 3 + 6 + 3] are the rows (`copying.marks`), with what can be
        copied from memory, and with the tokens of the sequence itself."""
        seen, ids, positions, place, visible = self._seen(rows, tokens)
        opens = _opens(seen[..., -EDGES] > 0, tokens.documents)
        before, said = seen[..., : self.width], words(seen[..., self.width :], opens)
        row, at = places.row, places.take(place)
        asked = signatures(before, positions, 0)[row, at] @ self.weight
        last, sees = ending(ids, row, at), places.take(visible.expand(*place.shape, -1))
        repeated = runs(last, row, ids, torch.ones_like(opens), ~opens) * sees
        own = wide(places.products(asked, signatures(before, positions, 1))) + self.follow * repeated
        own_run = (repeated * said.said.index_select(0, row)).amax(-1)
        if not self.stateful:
            first = 0 if tokens.cache is None else _first(opens, place)
            found, lost = self._history(ids, said, opens.cumsum(-1), places, place, visible, first, tokens)
            score = places.take(found)
            lost = lost * (score != NEVER)
            own = own + score.masked_fill(score == NEVER, 0) - self.clauses(lost, repeated)
            border = borders_of(wide(said.place), said.said, opens.cumsum(-1)).index_select(0, row) * (score != NEVER)
            return Matches(found, sees, None, own, own_run, border, lost)
        if source is None:
            return Matches(None, sees, None, own, own_run)
        signature, stem, term, told, stands, number = self._marked(source.marks, source.usable)
        usable, held, worded, stem, told, stands, number = (
            part.repeat_interleave(len(place) // len(part), 0)
            for part in (source.usable, source.ids, term.any(-1), stem, told, stands, number)
        )
        interactions = source.links.shape[1]
        cosines = self.alike(against(unit(said.term), unit(term)), said.stem, stem)
        products = cosines.masked_fill(~(usable & worded)[:, None], -1.0)
        covered, shares = covering(products, number, interactions), shares_of(said, visible)
        telling = weighing(told, usable & worded, number, interactions)
        found = self._scores(shares @ corrected(covered, source.links), telling, number, usable[:, None])
        copied = runs(last, row, held, usable, _joined(number, usable))
        run = (copied * worded.index_select(0, row)).amax(-1).maximum(own_run)
        lost = straying(products, shares, stands, usable & worded, number, interactions, places)
        score = places.take(found) + wide(places.products(asked, signature)) + self.follow * copied
        border = borders_of(stands, usable & worded, number).index_select(0, row)
        return Matches(found, sees, score - self.clauses(lost, copied), own, run, border, lost)

    def links(self, ids: Tensor, marks: Tensor, usable: Tensor) -> Tensor:
        """Return how far the N interactions of sources correct earlier ones, [G, N, N], from ids [G, M], marks
        [G, M, w], and which sources queries can use, `usable` [G or B, M]. What one query of a conversation can use
        counts for all of its queries. So a query that uses an interaction must be able to use all words of it, and all
        earlier ones."""
        _, _, term, told, _, number = self._marked(marks, usable)
        worded = term.any(-1) & _used(usable, len(ids))
        interactions = int(number.amax()) + 1  # far fewer than sources
        return self.corrections(ids, worded, number, weighing(told, worded, number, interactions))

    def _marked(self, marks: Tensor, usable: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return signatures, stems, terms, what words weigh where they are told, their places among clauses, and the
        numbers of interactions."""
        signature, stem, term, weights = marks.split((2 * self.width, STEM_LETTERS, self.term_dim, 3), -1)
        told, stands, age = weights.unbind(-1)
        return signature, stem, term, told, wide(stands), _numbers(age, _used(usable, len(marks)))

    def alike(self, cosines: Tensor, stem: Tensor, other: Tensor) -> Tensor:
        """Raise cosines [B, S, M] of words whose stems [B, S, 5] and [B, M, 5] share their first letters."""
        least = cosines.new_full((1,), -1.0)
        for letters, cosine in zip(STEM_COSINES, self.stem_cosines, strict=True):
            least = torch.where(share(stem, other, letters), cosine, least)
        return cosines.maximum(least)

    def evidence(self, scores: Tensor) -> Tensor:
        """Return what tells the decoder whether any source matches, [B, T, d], from `Matches.matched`."""
        return scores.amax(-1, keepdim=True).sigmoid().to(self.found.dtype) * self.found

    def _history(
        self,
        ids: Tensor,
        said: QueryWords,
        number: Tensor,
        places: Places,
        place: Tensor,
        visible: Tensor,
        first: int,
        tokens: Tokens,
    ) -> tuple[Tensor, Tensor]:
        """Score tokens at `place` [B, T] of all that is seen by the words of earlier interactions: [B, T, S]. What
        these tokens ask stands from `first` on. Also return how far these go astray at `places`, [n, S]."""
        term, worded, asks = unit(said.term), said.said, said.since(first)
        counts = tuple((number.amax(-1) + 1).tolist())
        telling = weighing(said.told, worded, number, max(counts))

        def made() -> Tensor:
            return self.corrections(ids, worded, number, telling, tokens.documents)

        links = made() if tokens.cache is None else tokens.cache.once(self.corrections, counts, made)
        cosines = self.alike(term[:, first:] @ term.transpose(1, 2), asks.stem, said.stem)
        products = cosines.masked_fill(~worded[:, None], -1.0)
        mine = number.gather(1, place)[..., None]
        shares = shares_of(asks, (visible & (mine == number[:, None]))[..., first:])
        covered = corrected(covering(products, number, max(counts)), links[:, : max(counts), : max(counts)])
        lost = straying(products, shares, wide(said.place), worded, number, max(counts), places)
        return self._scores(shares @ covered, telling, number, visible & (mine > number[:, None])), lost

    def _scores(self, matched: Tensor, telling: Tensor, number: Tensor, usable: Tensor) -> Tensor:
        """Score the interaction of each source, [B, T, M], from how well interactions match, [B, T, N], and from what
        their words weigh where they are told [B, N]."""
        counted = wide(usable.to(matched.dtype))
        newer = (counted.flip(-1).cumsum(-1).flip(-1) - counted) / counted.sum(-1, keepdim=True).clamp(min=1)
        of_interactions = self.gain.exp() * (matched - self.threshold) + telling[:, None]
        of_sources = of_interactions.gather(2, number[:, None].expand(-1, matched.shape[1], -1))
        return (of_sources - self.recency * newer).masked_fill(~usable, NEVER)

    def _seen(self, rows: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return of all tokens, cached ones included, the rows (`copying.marks`), [B, S, s + t + 3 + 6 + 3], their ids
        and positions [B, S]; of each token its place among them [B, T], and which of them it sees [B or 1, T, S]."""
        layout, cache = tokens.layout, tokens.cache
        rows, ids = layout.pad(rows), layout.pad(tokens.ids)
        if cache is not None:
            seen, held = (part[:, 0] for part in cache.extend(self, rows[:, None], ids[:, None, :, None]))
            index = torch.arange(seen.shape[1], device=seen.device)
            visible = index <= cache.positions[..., None]
            return seen, held[..., 0], index.expand(len(seen), -1), cache.positions, visible
        index = torch.arange(layout.length, device=rows.device)
        visible = (index <= index[:, None])[None]
        if tokens.documents is not None:
            visible = visible & (tokens.documents[:, :, None] == tokens.documents[:, None])
        return rows, ids, layout.pad(tokens.positions), index.expand(len(rows), -1), visible


def _first(opens: Tensor, place: Tensor) -> int:
    """Return where the first interaction of tokens at `place` [B, T] begins; `opens` [B, S] marks first tokens."""
    index = torch.arange(opens.shape[1], device=opens.device)
    return int((opens * index).cummax(-1).values.gather(1, place).min())


def _joined(number: Tensor, usable: Tensor) -> Tensor:
    """Say which slots [B, M] are usable and stand behind another of their interaction, which `number` [B, M] tells."""
    return F.pad((number[:, 1:] == number[:, :-1]) & usable[:, 1:], (1, 0))


def _used(usable: Tensor, groups: int) -> Tensor:
    """Say which sources any query of a conversation can use: [G or B, M] -> [G, M]."""
    return usable.unflatten(0, (groups, -1)).any(1)


def _numbers(ages: Tensor, used: Tensor) -> Tensor:
    """Number the interactions of slots in the order of the text, from their ages: [G, M] -> [G, M]. A slot that is not
    `used` [G, M] begins no interaction, and has the number of the one before."""
    index = torch.arange(ages.shape[1], device=ages.device).expand_as(ages)
    before = F.pad(index.where(used, -1).cummax(1).values, (1, 0), value=-1)[:, :-1]  # the last used slot before
    begins = used & ((before < 0) | (ages != ages.gather(1, before.clamp(min=0))))
    return (begins.cumsum(1) - 1).clamp(min=0)


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
