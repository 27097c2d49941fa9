"""What was read and written by stage `text-shards`: counts that add up over shards, kept beside them as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tokenization.records import Language, Split

Report = dict[str, Any]

LENGTHS = 32  # powers of two
COUNTS = ("documents", "bytes", "tokens", "trained_tokens")


class TextCounts:
    """Counts of one shard.

    `sources`: source -> language -> split -> documents, their bytes and tokens, and `trained_tokens`, which counts
    tokens as often as they were written. `lengths`: language -> documents by number of tokens, place i those with 2^i
    to 2^(i+1) - 1 (0 counts as 1). `rows`: split -> rows, tokens in them with control tokens, and the tokens that they
    could hold.
    """

    def __init__(self) -> None:
        self.counts: Report = {"sources": {}, "lengths": {}, "rows": {}}

    def read(self, source: str, language: Language, split: Split, size: int, offsets: np.ndarray, times: int) -> None:
        """Documents of together `size` bytes at these offsets among their tokens, written so many times."""
        lengths = np.diff(offsets)
        tokens = int(offsets[-1])
        found = dict(zip(COUNTS, (len(lengths), size, tokens, tokens * times), strict=True))
        powers = np.bincount(np.log2(np.maximum(lengths, 1)).astype(np.int64), minlength=LENGTHS).tolist()
        new = {"sources": {source: {language: {split: found}}}, "lengths": {language: powers}, "rows": {}}
        self.counts = added(self.counts, new)

    def wrote(self, split: Split, rows: int, tokens: int, length: int) -> None:
        found = {"rows": rows, "tokens": tokens, "capacity": rows * length}
        self.counts = added(self.counts, {"sources": {}, "lengths": {}, "rows": {split: found}})


def total(reports: Iterable[Report]) -> Report:
    """The reports of all shards as one."""
    whole = TextCounts().counts
    for report in reports:
        whole = added(whole, report)
    return whole


def fill(report: Report, split: Split = "train") -> float:
    """Share of the places in the rows of a split that hold tokens; 1 where there are no rows."""
    rows = report["rows"].get(split, {"capacity": 0})
    return rows["tokens"] / rows["capacity"] if rows["capacity"] else 1.0


def per_source(report: Report, split: Split = "train") -> dict[tuple[str, Language], dict[str, int]]:
    """Counts of one split by source and language, in the order of their names."""
    return {
        (source, language): splits[split]
        for source, languages in sorted(report["sources"].items())
        for language, splits in sorted(languages.items())
        if split in splits
    }


def added(one: Any, other: Any) -> Any:
    """Trees of numbers, place by place."""
    if isinstance(one, Mapping):
        return {key: added(one[key], other[key]) if key in one and key in other else (one | other)[key]
                for key in one | other}  # fmt: skip
    return [a + b for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other
