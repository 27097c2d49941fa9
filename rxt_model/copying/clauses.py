"""A turn may tell several things: `My tutor is Ewa, and the hall is on Mill Street.` Its words cover the question about
the hall, but only its second clause should be quoted.

How far word k of an interaction counts at its word j, is its cosine less what stands between both:

    p_j = sum_i w_i max(-1, max_k cos(x_i, y_k) - |b_j - b_k|)

w_i and x_i are the shares and the terms of the words that are asked (`copying.matching`). b_j is the sum of the borders
of the words of the interaction up to j; only differences of it count. A border stands behind a sign, as a comma is:
before a token that begins a word, a blank of its own or another sign. How large it is, is learned for each token that
stands there. How far a source goes astray is max_k p_k - p_j: 0 in the clause that answers the question, and large in
others. Times a cost, it is subtracted from the score of the source. A source that goes on with what was just said has
another cost, learned and lower at the start, than one to which a pointer jumps. So quotes begin in the best clause,
where a pointer prefers large borders and minds the more what goes astray (`copying.head`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.copying.coverage import covering
from rxt_model.copying.places import Places
from rxt_model.layers.parts import wide

SIGN = 1.0  # of the border behind a sign before softplus, at the start
RATE = 8.0  # what a token's weight is multiplied by, so that it is learned in a small model's few steps
FIRST = math.log1p(math.exp(SIGN))  # border before the first word of an interaction
JUMP = 24.0
GO_ON = 2.0  # at the start


class Clauses(nn.Module):
    """What it costs to point at sources that go astray.

    The cost of a jump is not learned. What a model knows by heart it finds without this cost, so training would make it
    small; but of what a model never saw, nothing else tells it which clause answers. In return the words of a question
    learn little from a clause that goes far astray: the model learns not to copy there."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = nn.Parameter(torch.full((1,), GO_ON))

    def forward(self, lost: Tensor, run: Tensor) -> Tensor:
        """Return the costs [n, M] from how far sources go astray, `lost`, and the runs that they follow
        (`copying.runs`)."""
        return lost * torch.where(run > 0, self.go_on, JUMP)


def places_of(borders: Tensor, spelled: Tensor, said: Tensor, opens: Tensor) -> Tensor:
    """Return b_j of words [B, S], from the weights of their tokens `borders` [B, S] and their spelling [B, S, 6]. It
    is 0 outside queries: `said` [B, S] says which tokens are words of one, `opens` [B, S] where interactions begin."""
    letters = (spelled[..., 1:] > 0).any(-1)
    signs = F.pad(said & ~letters, (1, 0))[:, :-1]
    begins = signs & (spelled[..., 0] > 0) & ~opens
    stand = begins & said
    sums = (F.softplus(RATE * borders + SIGN) * stand).cumsum(-1)
    index = torch.arange(opens.shape[1], device=opens.device)
    opened, last = ((index * at).cummax(-1).values for at in (opens, opens | stand))
    return (sums.gather(1, last) - sums.gather(1, opened)) * said  # equal within a clause, to the last bit


def borders_of(places: Tensor, worded: Tensor, number: Tensor) -> Tensor:
    """Return the border before each source that holds a word, 0 at others, from their places [B, M], which hold words,
    `worded` [B, M], and the numbers of their interactions [B, M]. The first word that is left of an interaction has
    `FIRST`, that of a token behind a sign whose weight is 0."""
    before, inside = _before(worded, number)
    return (places - places.gather(1, before)).where(inside, FIRST) * worded


def straying(
    products: Tensor, shares: Tensor, stands: Tensor, worded: Tensor, number: Tensor, interactions: int, places: Places
) -> Tensor:
    """Return how far sources of N interactions go astray at n places, [n, M], for products [B, S, M] of words and
    sources, the shares of words [B, T, S], the places of sources among clauses, `stands` [B, M], and which of them hold
    words [B, M]. Others never go astray."""
    asked = (shares > 0).flatten(0, 1).any(0)  # most words of long sequences ask nothing
    clauses = cut(stands, worded, number)
    reached = reaching(covering(products[:, asked], clauses.of, clauses.place.shape[1]), clauses)
    covered = wide(places.products(places.take(shares[..., asked]), reached.transpose(1, 2)))
    lost = astray(covered, clauses.interaction.index_select(0, places.row), interactions)
    return lost.gather(1, clauses.of.index_select(0, places.row)) * worded.index_select(0, places.row)


class Cut(NamedTuple):
    """The C clauses of sources [B, M]: the clause `of` each source [B, M], and the `place` of each clause and the
    number of its `interaction` [B, C]. Where a row has fewer clauses, those that are missing stand behind all."""

    of: Tensor
    place: Tensor
    interaction: Tensor


def cut(places: Tensor, worded: Tensor, number: Tensor) -> Cut:
    """Cut sources into clauses, from the same as in `borders_of`. Neither places within an interaction nor numbers
    ever fall."""
    before, inside = _before(worded, number)
    begins = worded & ~(inside & (places == places.gather(1, before)))
    of = (begins.cumsum(1) - 1).clamp(min=0)
    shape = (len(of), int(of.amax()) + 1)
    behind = number[:, -1:] + 1
    interaction = behind.expand(shape).scatter_reduce(1, of, number.where(worded, behind), "amin")
    return Cut(of, places.new_zeros(shape).scatter_reduce(1, of, places * worded, "amax"), interaction)


def reaching(covered: Tensor, clauses: Cut) -> Tensor:
    """Return how far the words of interactions count at each clause, [B, S, C], from the largest cosines of clauses
    [B, S, C]."""
    place, number = clauses.place[:, None].double(), clauses.interaction[:, None]
    room = 2 + place.detach().amax(-1, keepdim=True)  # what lifts an interaction above all before, or behind, it
    lifted, alike = place + 2 * room * number, covered.double()
    before = (alike + lifted).cummax(-1).values - lifted
    behind = (alike - lifted).flip(-1).cummax(-1).values.flip(-1) + lifted
    return before.maximum(behind).clamp(min=-1).to(covered.dtype)


def astray(covered: Tensor, interaction: Tensor, interactions: int) -> Tensor:
    """Return how far clauses go astray, [n, C], from p_j [n, C], -1 or more, and the numbers of their interactions
    [n, C], at most `interactions`."""
    least = covered.new_full((len(covered), interactions + 1), -1.0)
    return least.scatter_reduce(1, interaction, covered, "amax").gather(1, interaction) - covered


def _before(worded: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """Return of each source [B, M] the last one before it that holds a word (0 if there is none), and whether this is
    of the same interaction."""
    index = torch.arange(worded.shape[1], device=worded.device).expand_as(number)
    last = F.pad(index.where(worded, -1).cummax(1).values, (1, 0), value=-1)[:, :-1]
    before = last.clamp(min=0)
    return before, (last >= 0) & (number.gather(1, before) == number)
