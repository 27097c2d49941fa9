"""Count what cleaning removed, by reason: bytes, affected documents, and the first few examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Removal = Literal["damaged letters", "english", "polish", "foreign", "repeated", "vulgar", "short", "benchmark",
                  "duplicate", "near-duplicate"]  # fmt: skip

EXAMPLES = 3
_LENGTH = 160  # characters of an example


class Removals:
    """Counts by reason. A document that lost several paragraphs for one reason counts once."""

    def __init__(self) -> None:
        self._by_reason: dict[str, dict[str, Any]] = {}

    def add(self, reason: str, texts: Iterable[str]) -> None:
        """Count what one document lost for one reason: a Removal, or a rule of the policy."""
        entry = self._by_reason.setdefault(reason, {"bytes": 0, "documents": 0, "examples": []})
        entry["documents"] += 1
        for text in texts:
            entry["bytes"] += len(text.encode())
            if text and len(entry["examples"]) < EXAMPLES:
                entry["examples"].append(text[:_LENGTH])

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return `{reason: {"bytes", "documents", "examples"}}`."""
        return dict(sorted(self._by_reason.items()))


def merged(parts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Add up the removals of several parts, given in order. It also adds up other counts that have `examples`."""
    total: dict[str, dict[str, Any]] = {}
    for part in parts:
        for reason, entry in part.items():
            into = total.setdefault(reason, dict.fromkeys(entry, 0) | {"examples": []})
            for name in entry.keys() - {"examples"}:
                into[name] += entry[name]
            into["examples"] = (into["examples"] + entry["examples"])[:EXAMPLES]
    return dict(sorted(total.items()))
