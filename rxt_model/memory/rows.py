"""Rows that are only ever added, at a cost that does not depend on how many there are."""

from __future__ import annotations

from torch import Tensor

_ROOM = 64  # rows of a new buffer, at least


class Rows:
    """A tensor [n, ..] to which `with_rows` adds rows. Earlier versions stay as they are.

    Versions share one buffer, which is doubled when it is full. The version that first adds behind the rows it knows
    writes into the buffer. Any other one, such as that of a conversation that forked, gets a buffer of its own.
    """

    def __init__(self, rows: Tensor) -> None:
        self._buffer, self._filled, self._count = rows, [len(rows)], len(rows)

    @property
    def tensor(self) -> Tensor:
        """The rows [n, ..]."""
        return self._buffer[: self._count]

    def with_rows(self, more: Tensor) -> Rows:
        """Return these rows and `more` [m, ..], which have the shape, type and device of the others."""
        rows = Rows(self._buffer)
        rows._filled, rows._count = self._filled, self._count + len(more)
        if self._filled[0] != self._count or rows._count > len(self._buffer):
            rows._buffer = self._buffer.new_empty(max(_ROOM, 2 * rows._count), *self._buffer.shape[1:])
            rows._buffer[: self._count] = self.tensor
            rows._filled = [self._count]
        rows._buffer[self._count : rows._count] = more
        rows._filled[0] = rows._count
        return rows

    def __len__(self) -> int:
        return self._count
