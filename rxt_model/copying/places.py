"""The tokens of a batch whose next token is scored. Only they need pointers. In conversations most others belong to
questions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rxt_model.layers.layout import Layout


@dataclass(frozen=True, eq=False)
class Places:
    """The places of n tokens in a batch of `rows` rows: the `row` and the `column` of each [n], row after row. If
    `every` is set, these are all places of the batch. `layouts` are those that were asked for, by groups."""

    rows: int
    row: Tensor
    column: Tensor
    every: bool
    layouts: dict[int, Layout] = field(default_factory=dict)

    @classmethod
    def of(cls, shape: tuple[int, int], selected: Tensor | None, device: torch.device) -> Places:
        """Return the places of a batch [B, T] whose next token is `selected` [B, T - 1], or all."""
        if selected is not None:
            row, column = selected.nonzero(as_tuple=True)
            return cls(shape[0], row, column, every=False)
        index = torch.arange(shape[0] * shape[1], device=device)
        return cls(shape[0], index // shape[1], index % shape[1], every=True)

    def take(self, x: Tensor) -> Tensor:
        """Take what stands there: [B, T, ..] -> [n, ..]."""
        flat = x.flatten(0, 1)
        return flat if self.every else flat.index_select(0, self.row * x.shape[1] + self.column)

    def products(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return products [n, M] of queries [n, w] there and keys [G, M, w], each row of which serves B / G rows."""
        groups = len(keys)
        if groups not in self.layouts:  # a layout waits for the device once
            self.layouts[groups] = self._grouped(groups)
        layout = self.layouts[groups]
        return layout.pack(layout.pad(queries) @ keys.transpose(1, 2))

    def _grouped(self, groups: int) -> Layout:
        """Return the layout that puts the places of each of G groups of rows to the front of a row of its own."""
        if self.every:
            return Layout(groups, len(self.row) // groups, None)
        group = self.row // (self.rows // groups)
        counts = torch.bincount(group, minlength=groups)
        most = max(1, int(counts.max()))
        before = counts.cumsum(0) - counts
        index = group * most + torch.arange(len(group), device=group.device) - before[group]
        return Layout(groups, most, index)
