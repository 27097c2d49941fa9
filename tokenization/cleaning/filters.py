"""Reject whole documents that repeat themselves, consist of symbols, or hold the text of a benchmark.

The limits are from Rae et al., "Scaling Language Models" (Gopher), A1.1. Ratios are over words where Gopher counts
characters.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.removals import Removal
from tokenization.cleaning.words import Words, repeated

ENOUGH_WORDS = 50  # a ratio in a shorter document means nothing
MOST_TOP = {2: 0.20, 3: 0.18, 4: 0.16}  # n: share of the words that lie in the most frequent n-gram
MOST_AGAIN = {5: 0.15, 10: 0.10}  # n: share of the n-grams that occurred before
MOST_SYMBOLS = 0.1  # "#" and ellipses, per word
WORD_LENGTH = (2, 12)  # mean, in letters; Gopher has 3 to 10 for English, and Polish words are longer
_SYMBOLS = ("#", "...", "…")


def flaws(texts: Sequence[str], words: Words, benchmark: Benchmark, skip: Collection[str] = ()) -> list[Removal | None]:
    """Return why each document should go, or None if it stays. Filters in `skip` are not applied."""
    found: list[Removal | None] = [None] * len(texts)
    tests: dict[Removal, np.ndarray] = {"repetition": _repeats(words), "symbols": _symbols(texts, words)}
    for reason, bad in tests.items():
        for i in np.flatnonzero(bad & (words.counts >= ENOUGH_WORDS)) if reason not in skip else ():
            found[i] = found[i] or reason
    for i in np.flatnonzero(benchmark.found_in(words)) if len(benchmark.hashes) else ():
        found[i] = "benchmark"
    return found


def _repeats(words: Words) -> np.ndarray:
    bad = np.zeros(len(words.counts), bool)
    for n, limit in MOST_TOP.items():
        _, most = repeated(words.ngrams(n))
        bad |= (most > 1) & (most * n > limit * words.counts)
    for n, limit in MOST_AGAIN.items():
        ngrams = words.ngrams(n)
        again, _ = repeated(ngrams)
        bad |= again > limit * ngrams.counts
    return bad


def _symbols(texts: Sequence[str], words: Words) -> np.ndarray:
    count = np.maximum(words.counts, 1)
    symbols = np.array([sum(map(text.count, _SYMBOLS)) for text in texts]) / count
    letters = np.array([len(text) for text in texts]) / count - 1  # with a space after each word
    return (symbols > MOST_SYMBOLS) | (letters < WORD_LENGTH[0]) | (letters > WORD_LENGTH[1])
