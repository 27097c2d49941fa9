"""A correction repeats what it corrects: `Actually 6:50, not 8:50.` So it answers the questions that the corrected
statement answers, though it has none of their words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.layers.runs import LONGEST

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
        runs = _shared_runs(ids, worded, number).to(telling.dtype)
        of_earlier = _largest(runs, number, interactions)
        longest = _largest(of_earlier.transpose(1, 2), number, interactions).transpose(1, 2)
        index = torch.arange(interactions, device=ids.device)
        between = index[:, None] - index
        scores = self.length * longest - self.ageing * (between - 1) - self.least
        said = _largest(worded[:, None].to(telling.dtype), number, interactions) > 0
        earlier = said & (between > 0)
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


def _largest(values: Tensor, number: Tensor, interactions: int) -> Tensor:
    """Return the largest of values [G, S, M], 0 or more, of the sources of each interaction: [G, S, N]."""
    index = number[:, None].expand_as(values)
    return values.new_zeros(*values.shape[:2], interactions).scatter_reduce(2, index, values, "amax")


def _shared_runs(ids: Tensor, worded: Tensor, number: Tensor) -> Tensor:
    """Return the length of the run of words that ends at source i and at source j of an earlier interaction, [G, M, M],
    at most `LONGEST`."""
    both = worded[:, :, None] & worded[:, None]
    run = equal = (ids[:, :, None] == ids[:, None]) & both & (number[:, :, None] > number[:, None])
    joined = F.pad(number[:, 1:] == number[:, :-1], (1, 0))
    on = equal & joined[:, :, None] & joined[:, None]
    length = torch.zeros_like(equal, dtype=torch.uint8)
    for _ in range(LONGEST):
        length += run
        run = on & F.pad(run, (1, 0, 1, 0))[:, :-1, :-1]
    return length
