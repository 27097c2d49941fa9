"""A turn may tell several things: `My tutor is Ewa, and the hall is on Mill Street.` Its words cover the question about
the hall, but only its second clause should be quoted.

How far word k of an interaction counts at its word j, is its cosine less what stands between both:

    p_j = sum_i w_i max(-1, max_k cos(x_i, y_k) - |b_j - b_k|)

w_i and x_i are the shares and the terms of the words that are asked (`copying.matching`). b_j is the sum of the borders
of the words of the interaction up to j; only differences of it count. A border stands behind a sign, as a comma is:
before a word, or before its blank if this is a token of its own. How large it is, is learned for each token that stands
there. How far a source goes astray is max_k p_k - p_j: 0 in the clause that answers the question, and large in others.
Times a learned cost, it is subtracted from the score of the source. A source that goes on with what was just said has
another cost than one to which a pointer jumps. So quotes begin in the best clause, where a pointer prefers large
borders and minds the more what goes astray (`copying.head`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIGN = 1.0  # of the border behind a sign before softplus, at the start
RATE = 8.0  # what a token's weight is multiplied by, so that it is learned in a small model's few steps
FIRST = math.log1p(math.exp(SIGN))  # border before the first word of an interaction
JUMP, GO_ON = 8.0, 2.0  # costs at the start


class Clauses(nn.Module):
    """What it costs to point at sources that go astray."""

    def __init__(self) -> None:
        super().__init__()
        self.jump, self.go_on = (nn.Parameter(torch.full((1,), cost)) for cost in (JUMP, GO_ON))

    def forward(self, lost: Tensor, run: Tensor) -> Tensor:
        """Return the costs [n, M] from how far sources go astray, `lost`, and the runs that they follow
        (`copying.runs`)."""
        return lost * torch.where(run > 0, self.go_on, self.jump)


def places_of(borders: Tensor, spelled: Tensor, said: Tensor, opens: Tensor) -> Tensor:
    """Return b_j of words [B, S], from the weights of their tokens `borders` [B, S] and their spelling [B, S, 6]. It
    is 0 outside queries: `said` [B, S] says which tokens are words of one, `opens` [B, S] where interactions begin."""
    letters = (spelled[..., 1:] > 0).any(-1)
    signs = F.pad(said & ~letters, (1, 0))[:, :-1]
    begins = signs & (spelled[..., 0] > 0) & ~opens
    sums = (F.softplus(RATE * borders + SIGN) * (begins & said)).cumsum(-1)
    index = torch.arange(opens.shape[1], device=opens.device)
    opened = (index * opens).cummax(-1).values
    return (sums - sums.gather(1, opened)) * said


def borders_of(places: Tensor, worded: Tensor, number: Tensor) -> Tensor:
    """Return the border before each source that holds a word, 0 at others, from their places [B, M], which hold words,
    `worded` [B, M], and the numbers of their interactions [B, M]. The first word that is left of an interaction has
    `FIRST`, that of a word behind a sign at the start of training."""
    index = torch.arange(places.shape[1], device=places.device).expand_as(number)
    last = F.pad(index.where(worded, -1).cummax(1).values, (1, 0), value=-1)[:, :-1]  # the word before
    before = last.clamp(min=0)
    inside = (last >= 0) & (number.gather(1, before) == number)
    return (places - places.gather(1, before)).where(inside, FIRST) * worded


def reaching(products: Tensor, worded: Tensor, places: Tensor, number: Tensor) -> Tensor:
    """Return how far the words of interactions, cosines [B, S, M], count at each source, [B, S, M]. `worded` [B, M]
    says which sources hold words. `places` [B, M] are b_j, which do not fall within an interaction. `number` [B, M] is
    that of the interaction and never falls."""
    places, number = (places * worded)[:, None], number[:, None].to(places.dtype)
    room = 2 + places.detach().amax(-1, keepdim=True)  # what lifts an interaction above all before, or behind, it
    products = products.where(worded[:, None], -room)
    lifted = places + 2 * room * number
    before = (products + lifted).cummax(-1).values - lifted
    behind = (products - lifted).flip(-1).cummax(-1).values.flip(-1) + lifted
    return before.maximum(behind).clamp(min=-1)


def astray(covered: Tensor, worded: Tensor, number: Tensor) -> Tensor:
    """Return how far sources go astray, [n, M], from p_j [n, M]. It is 0 for sources that hold no word, `worded`
    [n, M]; `number` [n, M] is that of the interaction."""
    covered = covered.masked_fill(~worded, -1)
    best = torch.full_like(covered, -1).scatter_reduce(1, number, covered, "amax").gather(1, number)
    return (best - covered) * worded
