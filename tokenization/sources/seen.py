"""Remember what was found out about the files of a source, for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

_EXAMPLES = 3


class Seen:
    """Counts files by format and encoding, with the names of some that were left out. A slice of a file counts if it
    begins the file."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self._left_out: list[str] = []

    def read(self, kind: str, encoding: str) -> None:
        """Count a file that was read: its format, and its encoding if that is not UTF-8."""
        self.files[kind if encoding in ("", "utf-8") else f"{kind} in {encoding}"] += 1

    def skipped(self, name: str) -> None:
        """Count a file that was left out."""
        self._left_out.append(name)

    def as_dict(self) -> dict[str, Any]:
        """Return `{"files": {kind: count}, "left_out": ...}`."""
        return {"files": dict(sorted(self.files.items())), "left_out": left_out(self._left_out)}


def left_out(names: Sequence[str]) -> dict[str, Any]:
    """Return how many files these are, with the first few."""
    return {"files": len(names), "examples": list(names[:_EXAMPLES])}
