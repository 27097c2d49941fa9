"""Stop at content that grows out of proportion to its packed size: a few bytes could unpack to more than a disk holds,
and take days to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST_RATIO = 100  # of the content to its packed size,
RATIO_FROM = 64 << 20  # in content of more bytes than this


class GrowthError(ValueError):
    """Content that is too large for its packed size."""


class Limited:
    """What unpacks a file, and ends with an error where its content grows too large. `packed` returns how many bytes
    were packed, as far as they were read."""

    def __init__(self, file: Any, packed: Callable[[], int]) -> None:
        self._file, self._packed, self._read = file, packed, 0
        self.tell = file.tell

    def seekable(self) -> bool:
        """Always false."""
        return False

    def read(self, size: int) -> Any:
        """Read at most `size` bytes. Raises GrowthError."""
        content = self._file.read(size)
        self._read += len(content)
        if self._read > RATIO_FROM and self._read > MOST_RATIO * self._packed():
            raise GrowthError(f"it grows to more than {MOST_RATIO} times its packed size")
        return content
