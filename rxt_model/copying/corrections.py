"""A correction repeats what it corrects: `Actually 6:50, not 8:50.` So it answers the questions that the corrected
statement answers, though it has none of their words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.copying.runs import LONGEST

LENGTH, LEAST, AGEING, TELLING, PLAIN = 1.0, 3.0, 0.3, 2.0, -1.0  # at the start


class Corrections(nn.Module):
    """Says how far interaction n corrects an earlier one, m:

        c_nm = sigmoid(telling t_n + plain) softmax_m(0, length r_nm - ageing (n - m - 1) - least)

    t_n is what the words of n weigh where they are told, r_nm the longest run of words that both share (at most
    `LONGEST`). The softmax is over "none", whose score is 0, and all earlier interactions that have words. What a
    correction corrects is not followed any further: of three values, the third does not count for what the first says.
    """

    def __init__(self) -> None:
        super().__init__()
        start = (LENGTH, LEAST, AGEING, TELLING, PLAIN)
        self.length, self.least, self.ageing, self.telling, self.plain = (
            nn.Parameter(torch.full((1,), value)) for value in start
        )

    def forward(
        self,
        ids: Tensor,
        worded: Tensor,
        number: Tensor,
        telling: Tensor,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Return c [G, N, N] of N interactions, from sources [G, M]: their ids, which of them are words that a user
        said, and the `number` of their interaction; and from what its words weigh, `telling` [G, N]. Interactions of
        different `documents` [G, M] do not correct each other."""
        interactions = telling.shape[1]
        longest = _longest_shared(ids, worded, number, interactions).to(telling.dtype)
        index = torch.arange(interactions, device=ids.device)
        between = index[:, None] - index
        scores = self.length * longest - self.ageing * (between - 1) - self.least
        said = longest.diagonal(dim1=1, dim2=2) > 0
        earlier = said[:, None] & (between > 0)
        if documents is not None:
            belongs = documents.new_zeros(len(ids), interactions).scatter(1, number, documents)
            earlier = earlier & (belongs[:, :, None] == belongs[:, None])
        shares = F.pad(scores.masked_fill(~earlier, -torch.inf), (1, 0)).softmax(-1)[..., 1:]
        return (self.telling * telling + self.plain).sigmoid()[..., None] * shares


def corrected(covered: Tensor, links: Tensor) -> Tensor:
    """Raise what interactions cover of words, cosines [B, S, N], where they correct others by `links` [G, N, N]: to
    that share of what those cover, counted from -1."""
    groups = len(links)
    of_others = (covered + 1).unflatten(0, (groups, -1)) @ links.transpose(1, 2)[:, None]
    return covered.maximum(of_others.flatten(0, 1) - 1)


def _longest_shared(ids: Tensor, worded: Tensor, number: Tensor, interactions: int) -> Tensor:
    """Return the length of the longest run of words that two of N interactions share, at most `LONGEST`: [G, N, N].
    They share a run of k words if they share a k-gram, so it is the number of lengths at which they share one."""
    follows = F.pad(worded[:, :-1] & (number[:, 1:] == number[:, :-1]), (1, 0))
    gram, there, size = ids, worded, ids.amax() + 1
    longest = torch.zeros(len(ids), interactions, interactions, device=ids.device)
    for _ in range(LONGEST):
        rank = _ranks(gram.where(there, -1))
        holds = longest.new_zeros(len(ids), interactions * ids.shape[1])
        holds = holds.scatter_reduce(1, number * ids.shape[1] + rank, there.to(holds.dtype), "amax")
        holds = holds.unflatten(1, (interactions, -1))
        longest += holds @ holds.transpose(1, 2) > 0
        gram = F.pad(rank, (1, 0))[:, :-1] * size + ids  # the k-gram that ends before, and the word
        there = there & follows & F.pad(there, (1, 0))[:, :-1]
    return longest


def _ranks(values: Tensor) -> Tensor:
    """Return numbers below M that are equal where values of a row [G, M] are."""
    ordered, place = values.sort(dim=1)
    rank = F.pad((ordered[:, 1:] != ordered[:, :-1]).long(), (1, 0)).cumsum(1)
    return torch.empty_like(rank).scatter_(1, place, rank)
