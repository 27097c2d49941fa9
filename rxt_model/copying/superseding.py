"""What changes is told again, in words like those of before. So the newer of two interactions that cover a query about
as well should answer it, however little was said in between."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHT, SLOPE, SHIFT = 1.5, 15.0, 1.5  # at the start


class Superseding(nn.Module):
    """Says what an interaction n loses to newer ones:

        weight sigmoid(slope (max_{m > n} c_m - c_n) + shift)

    c_n is how far n covers a query (`copying.matching`). An interaction that is newer than all others loses nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.slope, self.shift = (
            nn.Parameter(torch.full((1,), start)) for start in (WEIGHT, SLOPE, SHIFT)
        )

    def forward(self, covered: Tensor, seen: Tensor) -> Tensor:
        """Return what interactions lose, [B, T, N], from how far they cover what tokens ask, [B, T, N], and which of
        them tokens can use, `seen` [B, T or 1, N]. Only what is seen counts as newer."""
        newer = covered.masked_fill(~seen, -torch.inf).flip(-1).cummax(-1).values.flip(-1)
        newer = F.pad(newer[..., 1:], (0, 1), value=-torch.inf)
        ahead = (newer - covered).masked_fill(newer == -torch.inf, 0)
        return self.weight * (self.slope * ahead + self.shift).sigmoid() * (newer > -torch.inf)
