"""The interface of one layer's memory write."""

from __future__ import annotations

from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.flops import Flops


class MemoryWrite(nn.Module):
    """Updates a layer's slots [B, S, d] from the encoded interaction [B, T, d].

    If `takes_mean`, `forward` gets the normalised mean over layers, otherwise None. `own_start` names parameters that
    keep the values from the constructor. `initialise` draws all other parameters of two or more dimensions anew.
    """

    takes_mean = False
    own_start: tuple[str, ...] = ()

    def __init__(self, config: Architecture) -> None:
        super().__init__()

    def start(self) -> None:
        """Change the freshly drawn weights in place, if the write needs it. Not called on `meta`."""

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Compute what depends on the interaction alone: [B, T, P], where each write chooses P. By default this is the
        encoded data [B, T, d].

        Encoded data are zero at padding, but what a bias makes of them is not: mask it. `rope` is [T, head_dim / 2].
        `mask` [B, T] is True at real tokens. They are on the left, and each row has at least one: in a row of padding,
        `MemoryAttention` makes one token visible and discards the result.
        """
        return encoded

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        """Return the layer's next slots [B, S, d]. `mean` is [B, S, d] or None; `mask` is as in `project`."""
        raise NotImplementedError

    def importance(self, states: Tensor) -> Tensor:
        """Score how important encoder states [.., d] are, as logits [..]. Only for writes that select."""
        raise NotImplementedError

    def flops(self, length: int, slots: int) -> Flops:
        """The FLOPs of writing `length` encoded tokens into `slots` slots."""
        raise NotImplementedError

    def kept(self, length: int, slots: int) -> int:
        """Count the values that autograd saves of such a write, `project` included, where norms and attention are fused
        as on a GPU. Encoded data are not counted."""
        raise NotImplementedError
