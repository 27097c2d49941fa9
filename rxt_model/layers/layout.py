"""Keep the places of real tokens in a padded batch, so that token-wise layers run on real tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """A batch [rows, length] whose real tokens are at `index` (flat, ascending). If `index` is None, all are real."""

    rows: int
    length: int
    index: Tensor | None

    @classmethod
    def of(cls, shape: torch.Size, mask: Tensor | None) -> Layout:
        """Return the layout of ids [B, T] with mask [B, T], True at real tokens."""
        return cls(shape[0], shape[1], None if mask is None else mask.flatten().nonzero().squeeze(1))

    def pack(self, x: Tensor) -> Tensor:
        """Take the real tokens: [rows, length, ..] -> [real tokens, ..]."""
        flat = x.flatten(0, 1)
        return flat if self.index is None else flat.index_select(0, self.index)

    def pad(self, x: Tensor) -> Tensor:
        """Put the real tokens back: [real tokens, ..] -> [rows, length, ..], with zeros elsewhere."""
        if self.index is not None:
            x = x.new_zeros(self.rows * self.length, *x.shape[1:]).index_copy(0, self.index, x)
        return x.unflatten(0, (self.rows, self.length))

    def counts(self, x: Tensor) -> Tensor:
        """Return the number of real tokens of each row [rows], on the device of x."""
        if self.index is None:
            return torch.full((self.rows,), self.length, device=x.device)
        return torch.bincount(self.index // self.length, minlength=self.rows)


def pad_rows(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Put lists of ids into one batch: ids [B, T] with `pad` on the right, and the mask of real tokens [B, T]."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), pad)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = torch.tensor(row)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return ids, mask
