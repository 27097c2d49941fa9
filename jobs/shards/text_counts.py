"""Count what stage `text-shards` reads and writes. Counts add up over shards and are kept beside them as JSON."""

from __future__ import annotations

import numpy as np

from jobs.shards.job import Report, added
from tokenization.records import Language, Split

LENGTHS = 32  # powers of two
PARTS = ("sources", "lengths", "rows")  # parts of a report
COUNTS = ("documents", "bytes", "tokens", "trained_tokens")


class TextCounts:
    """Counts of one shard.

    The report has three parts. `sources`: source -> language -> split -> documents, their bytes and tokens, and
    `trained_tokens`, which counts tokens as often as they were written. `lengths`: language -> LENGTHS numbers of
    documents; place i counts those with 2^i to 2^(i+1) - 1 tokens (0 counts as 1). `rows`: split -> rows, their tokens
    including control tokens, and how many tokens they could hold.
    """

    def __init__(self) -> None:
        self.report: Report = {part: {} for part in PARTS}

    def read(self, source: str, language: Language, split: Split, size: int, offsets: np.ndarray, times: int) -> None:
        """Count documents that have `size` bytes together and are written `times` times. Document i has the tokens
        from offsets[i] to offsets[i + 1]."""
        lengths = np.diff(offsets)
        tokens = int(offsets[-1])
        found = dict(zip(COUNTS, (len(lengths), size, tokens, tokens * times), strict=True))
        powers = np.bincount(np.log2(np.maximum(lengths, 1)).astype(np.int64), minlength=LENGTHS).tolist()
        new = {"sources": {source: {language: {split: found}}}, "lengths": {language: powers}}
        self.report = added(self.report, new)

    def wrote(self, split: Split, rows: int, tokens: int, length: int) -> None:
        """Count rows of at most `length` tokens that were written with `tokens` tokens together."""
        found = {"rows": rows, "tokens": tokens, "capacity": rows * length}
        self.report = added(self.report, {"rows": {split: found}})


def fill(report: Report, split: Split = "train") -> float:
    """The filled share of the places in a split's rows; 1 if there are no rows."""
    rows = report["rows"].get(split, {"capacity": 0})
    return rows["tokens"] / rows["capacity"] if rows["capacity"] else 1.0


def per_source(report: Report, split: Split = "train") -> dict[tuple[str, Language], dict[str, int]]:
    """The counts of one split by source and language, sorted by name."""
    return {
        (source, language): splits[split]
        for source, languages in sorted(report["sources"].items())
        for language, splits in sorted(languages.items())
        if split in splits
    }
