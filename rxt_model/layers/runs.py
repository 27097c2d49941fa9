"""How many tokens in a row, up to the token just said, stand before a source that can be copied.

Copying a sentence means to go on with the source after the one that was copied last. Two equal tokens before a source
(`layers.marks`) do not tell which of several places that is; the longest run does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = 8  # tokens; longer runs count as this


def runs(said: Tensor, held: Tensor, usable: Tensor, joined: Tensor) -> Tensor:
    """Return the length of the run that each token of `said` [B, S] ends and each source of `held` [B, M] follows:
    [B, S, M], at most `LONGEST`.

    Both are ids. `usable` [B, M] says which sources count. `joined` [B, M] says whether a source stands behind the one
    before it, in the same interaction; other sources follow nothing.
    """
    equal = (said[:, :, None] == held[:, None]) & usable[:, None]
    run, length = equal, torch.zeros_like(equal, dtype=torch.uint8)
    for _ in range(LONGEST):
        length += run
        run = equal & joined[:, None] & F.pad(run, (1, 0, 1, 0))[:, :-1, :-1]
    return F.pad(length, (1, 0))[..., :-1] * joined[:, None]
