"""Cut the sequences of a batch into chunks, so that a recurrence runs chunk by chunk and pads next to nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rxt_model.layers.layout import Layout

CHUNK = 32  # tokens at most; fewer if every sequence is shorter


class Sequences(NamedTuple):
    """D sequences of R real tokens, in n chunks of C places. A sequence is a row, or a document of packed text.

    The longest sequences come first. So do the chunks: first the `counts[0]` sequences' first ones, then the second
    ones of those `counts[1]` sequences that have one, and so on. `place` [n, C] says which token stands there, `real`
    [n, C] whether one does, `of` [n] to which sequence a chunk belongs. `owner` [R] is the sequence of every token, and
    `back` [R] its place among n * C. `lengths` [D] count tokens, `rows` [D] are the sequences' rows of the batch, and
    `source` [D] says which memory they read."""

    counts: tuple[int, ...]
    place: Tensor
    real: Tensor
    of: Tensor
    owner: Tensor
    back: Tensor
    lengths: Tensor
    rows: Tensor
    source: Tensor

    @classmethod
    def of_documents(cls, layout: Layout, positions: Tensor, chunk: int = CHUNK) -> Sequences:
        """Return the sequences of real tokens that begin wherever positions [R] are 0."""
        return cls._starting(layout, positions == 0, chunk)

    @classmethod
    def of_rows(cls, layout: Layout, positions: Tensor, chunk: int = CHUNK) -> Sequences:
        """Return one sequence for each row that has a token, whatever the positions [R]."""
        row = _rows(layout, positions)
        starts = torch.ones_like(row, dtype=torch.bool)
        starts[1:] = row[1:] != row[:-1]
        return cls._starting(layout, starts, chunk)

    @classmethod
    def _starting(cls, layout: Layout, starts: Tensor, chunk: int) -> Sequences:
        device, tokens = starts.device, len(starts)
        first = starts.nonzero().squeeze(1)
        lengths = torch.diff(first, append=first.new_tensor([tokens]))
        order = lengths.argsort(descending=True, stable=True)
        first, lengths = first[order], lengths[order]
        sizes = lengths.tolist()  # waits for the device once for all layers: the number of chunks decides all shapes
        chunk = min(chunk, max(sizes, default=1))
        counts = tuple(sum(size > at for size in sizes) for at in range(0, max(sizes, default=0), chunk))
        of = torch.cat([torch.arange(0, device=device), *(torch.arange(n, device=device) for n in counts)])
        step = torch.arange(len(counts), device=device).repeat_interleave(torch.tensor(counts, device=device).long())
        within = step[:, None] * chunk + torch.arange(chunk, device=device)
        real = within < lengths[of, None]
        place = torch.where(real, first[of, None] + within, 0)
        back = torch.empty(tokens, dtype=torch.long, device=device)
        back[place[real]] = real.flatten().nonzero().squeeze(1)
        owner = of.repeat_interleave(chunk)[back]
        rows = _rows(layout, starts)[first]
        return cls(counts, place, real, of, owner, back, lengths, rows, rows)

    def cut(self, x: Tensor, before: int = 0) -> Tensor:
        """Return the chunks [n, before + C, ..] of tokens x [R, ..], each after so many earlier tokens of its sequence,
        or zeros where it begins. There may be at most `CHUNK` of these. Places after the end of a sequence hold some
        other token's values."""
        place = self.place
        if before:
            earlier = place[:, :1] + torch.arange(-before, 0, device=x.device)
            earlier[: len(self.rows)] = len(x)  # the first chunks have nothing before them
            place, x = torch.cat((earlier, place), 1), torch.cat((x, x.new_zeros(1, *x.shape[1:])))
        return x.index_select(0, place.flatten()).unflatten(0, place.shape)

    def joined(self, chunks: Tensor) -> Tensor:
        """Return the tokens [R, ..] of chunks [n, C, ..]."""
        return chunks.flatten(0, 1).index_select(0, self.back)

    def sums(self, of_chunks: Tensor) -> Tensor:
        """Add up what belongs to each sequence: [n, ..] -> [D, ..]."""
        return of_chunks.new_zeros(len(self.rows), *of_chunks.shape[1:]).index_add(0, self.of, of_chunks)


def _rows(layout: Layout, tokens: Tensor) -> Tensor:
    """Return the row [R] of each real token."""
    index = torch.arange(len(tokens), device=tokens.device) if layout.index is None else layout.index
    return index // layout.length
