"""Remember what was found out about the files of a source, for the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

_EXAMPLES = 3


class Seen:
    """Counts files by format and encoding, with the names of some that were left out. A slice of a file counts if it
    begins the file."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def read(self, kind: str, encoding: str) -> None:
        """Count a file that was read: its format, and its encoding if that is not UTF-8."""
        self.files[kind if encoding in ("", "utf-8") else f"{kind} in {encoding}"] += 1

    def skipped(self, name: str) -> None:
        """Count a file that was left out."""
        self.left_out[name] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return `{"files": {kind: count}, "left_out": {"files": count, "examples": [...]}}`."""
        examples = [name for name, _ in self.left_out.most_common(_EXAMPLES)]
        return {"files": dict(sorted(self.files.items())),
                "left_out": {"files": self.left_out.total(), "examples": examples}}  # fmt: skip
