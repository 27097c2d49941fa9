"""What was read and written by stage `text-shards`: counts that add up over shards, kept beside them as JSON."""

from __future__ import annotations

import numpy as np

from jobs.shards.job import Report, added
from tokenization.records import Language, Split

LENGTHS = 32  # powers of two
PARTS = ("sources", "lengths", "rows")  # of a report
COUNTS = ("documents", "bytes", "tokens", "trained_tokens")


class TextCounts:
    """Counts of one shard.

    `sources`: source -> language -> split -> documents, their bytes and tokens, and `trained_tokens`, which counts
    tokens as often as they were written. `lengths`: language -> documents by number of tokens, place i those with 2^i
    to 2^(i+1) - 1 (0 counts as 1). `rows`: split -> rows, tokens in them with control tokens, and the tokens that they
    could hold.
    """

    def __init__(self) -> None:
        self.report: Report = {part: {} for part in PARTS}

    def read(self, source: str, language: Language, split: Split, size: int, offsets: np.ndarray, times: int) -> None:
        """Documents of together `size` bytes at these offsets among their tokens, written so many times."""
        lengths = np.diff(offsets)
        tokens = int(offsets[-1])
        found = dict(zip(COUNTS, (len(lengths), size, tokens, tokens * times), strict=True))
        powers = np.bincount(np.log2(np.maximum(lengths, 1)).astype(np.int64), minlength=LENGTHS).tolist()
        new = {"sources": {source: {language: {split: found}}}, "lengths": {language: powers}}
        self.report = added(self.report, new)

    def wrote(self, split: Split, rows: int, tokens: int, length: int) -> None:
        found = {"rows": rows, "tokens": tokens, "capacity": rows * length}
        self.report = added(self.report, {"rows": {split: found}})


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
