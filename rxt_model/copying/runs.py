"""How many tokens in a row, up to the token just said, stand before a source that can be copied.

Copying a sentence means to go on with the source after the one that was copied last. Two equal tokens before a source
(`copying.marks`) do not tell which of several places that is; the longest run does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 8  # tokens; longer runs count as this


def ending(ids: Tensor, row: Tensor, at: Tensor) -> Tensor:
    """Return the last `LONGEST` ids up to `at` [n] in rows `row` [n] of ids [B, S], the latest first: [n, LONGEST]. It
    is -2 before the first."""
    place = at[:, None] - torch.arange(LONGEST, device=at.device)
    return ids[row[:, None], place.clamp(min=0)].masked_fill(place < 0, -2)


def runs(said: Tensor, row: Tensor, held: Tensor, usable: Tensor, joined: Tensor) -> Tensor:
    """Return the length of the run that ends with what was `said` last [n, LONGEST] (`ending`) and that each source of
    `held` [B, M] follows: [n, M], at most `LONGEST`.

    Both are ids. `row` [n] is the row of sources for each. `usable` [B, M] says which sources count. `joined` [B, M]
    says whether a source stands behind the one before it, in the same interaction; other sources follow nothing.
    """
    held, before = held.to(torch.int32).where(usable, -1), torch.ones_like(joined)
    length = torch.zeros(len(row), held.shape[1], dtype=torch.uint8, device=held.device)
    run = torch.ones_like(length, dtype=torch.bool)
    for k in range(LONGEST):
        before = before & _behind(joined, k, False)
        earlier = _behind(held, k + 1, -1).where(before, -1)
        run = run & (earlier.index_select(0, row) == said[:, k, None])
        length += run
    return length


def _behind(x: Tensor, distance: int, fill: int) -> Tensor:
    """Return what stands so far before each of x [B, M]: [B, M]."""
    return F.pad(x, (distance, 0), value=fill)[:, : x.shape[1]]
