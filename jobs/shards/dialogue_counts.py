"""Count rows, interactions and tokens in shards of interactions and conversations. Counts add up over shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jobs.shards.job import Report
from tokenization.conversations.template import EncodedInteraction
from tokenization.records import SPLITS, Language, Split

BINS = 16  # bins for lengths from 1 token to the greatest length of an interaction
PARTS = ("sources", "turns", "lengths")  # parts of a report
COUNTS = ("rows", "turns", "tokens", "supervised", "cut_tokens")


class DialogueCounts:
    """Counts of one shard.

    The report has three parts. `sources`: source -> language -> split -> COUNTS, which are rows, their interactions,
    their tokens, how many of these are supervised, and how many tokens of content were cut off. `turns`: language ->
    number of interactions -> rows. `lengths`: language -> BINS numbers of interactions; place i counts lengths above
    i * `length` / BINS, up to (i + 1) * `length` / BINS.
    """

    def __init__(self, split: Split, length: int) -> None:
        self._split, self._length = split, length
        self._sources: dict[tuple[str, Language], Counter[str]] = {}
        self._turns: dict[Language, Counter[int]] = {}
        self._lengths: dict[Language, list[int]] = {}

    def add(self, source: str, language: Language, turns: Sequence[EncodedInteraction]) -> None:
        """Count one row, which holds the interactions `turns`: a whole conversation, or a single interaction."""
        sizes = [len(turn.input_ids) for turn in turns]
        self._sources.setdefault((source, language), Counter()).update(
            rows=1,
            turns=len(turns),
            tokens=sum(sizes),
            supervised=sum(sum(turn.loss_mask) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )
        self._turns.setdefault(language, Counter())[len(turns)] += 1
        lengths = self._lengths.setdefault(language, [0] * BINS)
        for size in sizes:
            lengths[(size - 1) * BINS // self._length] += 1

    @property
    def report(self) -> Report:
        sources: dict[str, dict[str, Any]] = {}
        for (source, language), counts in self._sources.items():
            sources.setdefault(source, {})[language] = {self._split: {name: counts[name] for name in COUNTS}}
        turns = {language: {str(n): count for n, count in found.items()} for language, found in self._turns.items()}
        return {"sources": sources, "turns": turns, "lengths": self._lengths}


def cells(report: Report) -> Iterator[tuple[str, str, str, Mapping[str, int]]]:
    """Yield source, language, split and counts, sorted by source, language and split."""
    for source, languages in sorted(report["sources"].items()):
        for language, splits in sorted(languages.items()):
            for split in SPLITS:
                if split in splits:
                    yield source, language, split, splits[split]


def cut_share(counts: Iterable[Mapping[str, int]]) -> float:
    """The share of all tokens that found no room, from 0 to 1. Each of `counts` has tokens and cut tokens."""
    sums: Counter[str] = Counter()
    for each in counts:
        sums.update({name: each.get(name, 0) for name in ("tokens", "cut_tokens")})
    return sums["cut_tokens"] / (sums.total() or 1)
