"""Encode with snaptokens, if its ids equal those of `tokenizers`.

snaptokens encodes about fifty times as many bytes per second of processor time. It keeps a bounded cache of words and
returns arrays instead of lists. It is young, so every process compares it with the reference once per vocabulary, on
texts that such engines get wrong. If the two differ, the process warns and uses the reference. Nobody sees the warning
of a worker, so `slow` keeps its text for whoever reports what the worker did.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import tokenizers

from tokenization.bpe.hard_texts import hard_texts

BATCH = 1024  # texts at a time for the reference, whose encodings take far more memory than ids

Flat = tuple[np.ndarray, np.ndarray]


class Engine(Protocol):
    """What encodes texts."""

    slow: str  # why this is not the fast engine; empty for the fast one

    def encode_flat(self, texts: Sequence[str]) -> Flat:
        """Return the ids of all texts, int32 [N], and offsets, int64 [len(texts) + 1].

        Text i has ids[offsets[i] : offsets[i + 1]]. The arrays may be read-only.
        """
        ...


class Reference:
    """`tokenizers` itself."""

    def __init__(self, content: str, slow: str = "") -> None:
        self.slow = slow
        self._tokenizer = tokenizers.Tokenizer.from_str(content)

    def encode_flat(self, texts: Sequence[str]) -> Flat:
        """Encode as `Engine` says, BATCH texts at a time."""
        parts, lengths = [np.empty(0, np.int32)], [0]
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                parts.append(np.array(encoding.ids, np.int32))
                lengths.append(len(encoding.ids))
        return np.concatenate(parts), np.cumsum(lengths, dtype=np.int64)


class Snaptokens:
    """The fast engine. Raises ImportError if it is missing, and ValueError if it does not know how words are split."""

    slow = ""

    def __init__(self, content: str) -> None:
        import snaptokens

        self._tokenizer = snaptokens.Tokenizer.from_json_str(content)

    def encode_flat(self, texts: Sequence[str]) -> Flat:
        """Encode as `Engine` says."""
        ids, offsets = self._tokenizer.encode_batch_flat(list(texts))
        return np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64)


@lru_cache(maxsize=4)
def engine(content: str) -> Engine:
    """Return the fastest engine that gives the reference's ids for this content-only tokenizer.json (cached)."""
    try:
        fast = Snaptokens(content)
        different = first_difference(fast, Reference(content), hard_texts())
        if different is None:
            return fast
        reason = f"it encodes {different!a} differently"
    except (ImportError, ValueError) as error:
        reason = str(error)
    slow = f"snaptokens is not used, so encoding is far slower: {reason}"
    warnings.warn(slow, RuntimeWarning, stacklevel=2)
    return Reference(content, slow)


def first_difference(one: Engine, other: Engine, texts: Sequence[str]) -> str | None:
    """Return the first text that the two engines encode differently, or None."""
    (ids, ends), (other_ids, other_ends) = one.encode_flat(texts), other.encode_flat(texts)
    for i, text in enumerate(texts):
        if not np.array_equal(ids[ends[i] : ends[i + 1]], other_ids[other_ends[i] : other_ends[i + 1]]):
            return text
    return None
