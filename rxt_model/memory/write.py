"""What one layer of a memory write is asked for."""

from __future__ import annotations

from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.flops import Flops


class MemoryWrite(nn.Module):
    """A layer updates the slots [B, S, d] from the encoded interaction [B, T, d]. It is built from an `Architecture`.

    A write says itself how it starts (`own_start`, `start`), what it takes from the interaction (`project`), what it
    makes of that (`forward`) and what it costs (`flops`; parameters are counted from the module).

    `takes_mean`: `forward` is given the normalised mean over layers, else None.
    `own_start`: parameters of two dimensions or more are drawn anew after the constructor (`initialise`), except those
    that are named here.
    """

    takes_mean = False
    own_start: tuple[str, ...] = ()

    def __init__(self, config: Architecture) -> None:
        super().__init__()

    def start(self) -> None:
        """Change the freshly drawn weights in place, where the write has a start of its own. Not called on `meta`."""

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """What the write takes from the interaction alone, [B, T, P] with P of its own choice; without projections the
        encoded data [B, T, d] as they are. `rope` [T, head_dim / 2]; `mask` [B, T] is True at real tokens: they stand
        on the left, and each row has at least one. (`MemoryAttention` shows a row of padding alone as one visible
        token, and discards the result.)"""
        return encoded

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        """The next slots [B, S, d] of this layer from the old ones; `mean` [B, S, d], `mask` as in `project`."""
        raise NotImplementedError

    def importance(self, states: Tensor) -> Tensor:
        """How much encoder states [.., d] are worth keeping, as logits [..]; of writes that select."""
        raise NotImplementedError

    def flops(self, length: int, slots: int) -> Flops:
        """Of one write of `length` encoded tokens into `slots` slots."""
        raise NotImplementedError
