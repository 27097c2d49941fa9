"""Split texts into words and hash them. The words of many documents are one array of hashes, so that n-grams are
counted and compared without loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rensa import RMinHash

from tokenization.hashing import stable_hash

_WORD = re.compile(r"[^\W_]+")
# Punctuation that ends a sentence or a part of one, and quotes. Signs, operators and points in numbers carry meaning.
_PUNCTUATION = re.compile(r"""(?<=[\w\s])[.,;:!?…"'“”„‚‘’«»]+(?=\s|$)|(?<!\w)["'“„‚‘«]+(?=\w)""")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def normalised(text: str) -> str:
    """Return the words, lower-cased, with single spaces. Texts that differ only in case, and in punctuation and white
    space between words, become equal. A text without words, such as a picture in characters, is returned unchanged."""
    return _normalised(_split(text), text)


def text_key(text: str) -> int:
    """Return 64 bits, equal for texts that are `normalised` alike. Such texts must not be in different splits."""
    return stable_hash(normalised(text))


def plain(text: str) -> str:
    """Ignore case, white space and the punctuation of sentences: texts that say the same become equal."""
    return " ".join(_PUNCTUATION.sub("", text.casefold()).split())


def _split(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _normalised(words: list[str], text: str) -> str:
    return " ".join(words) or text


class Ngrams(NamedTuple):
    """All n-grams of all documents: `hashes`, uint64 [N], and `counts` per document, int64 [D]."""

    hashes: np.ndarray
    counts: np.ndarray

    @property
    def documents(self) -> np.ndarray:
        """The document of each n-gram, int64 [N]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


class Words:
    """The words of D documents: letters and digits, without case. `counts` is int64 [D], and so is `numbers`, which
    counts words of digits alone; `keys`, uint64 [D], holds the `text_key` of each document."""

    def __init__(self, texts: Sequence[str]) -> None:
        found = list(map(_split, texts))
        self.keys = np.array(list(map(stable_hash, map(_normalised, found, texts))), np.uint64)
        self.numbers = np.array([sum(map(str.isdigit, row)) for row in found], np.int64)
        words = RMinHash.hash_token_sets(found)
        self.counts = np.fromiter(map(len, words), np.int64, len(words))
        self._hashes = np.fromiter((h for row in words for h in row), np.uint64, int(self.counts.sum()))

    def ngrams(self, n: int) -> Ngrams:
        """Return all sequences of n words within one document. A hash depends only on the words and their order."""
        begins = np.cumsum(self.counts) - self.counts
        left = np.repeat(begins + self.counts, self.counts) - np.arange(len(self._hashes))  # words to the end
        hashes = self._hashes[: max(0, len(self._hashes) - n + 1)].copy()
        for k in range(1, n):
            hashes *= _FACTOR
            hashes += self._hashes[k : k + len(hashes)]
        hashes = _mixed(hashes)[left[: len(hashes)] >= n]
        return Ngrams(hashes, np.maximum(self.counts - n + 1, 0))


def repeated(ngrams: Ngrams) -> tuple[np.ndarray, np.ndarray]:
    """Count, in each of at most 65,536 documents, how many n-grams occurred before, and how often the most frequent one
    occurs: two arrays, int64 [D]."""
    documents = ngrams.documents.astype(np.uint64) << np.uint64(48)
    ordered = np.sort(documents | (ngrams.hashes >> np.uint64(16)))  # brings equal n-grams of a document together
    first = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))
    times = np.diff(first, append=len(ordered))
    owner = (ordered[first] >> np.uint64(48)).astype(np.int64)
    most = np.zeros(len(ngrams.counts), np.int64)
    np.maximum.at(most, owner, times)
    return ngrams.counts - np.bincount(owner, minlength=len(ngrams.counts)), most


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread entropy over all bits: a sum of products has it in the upper bits only, and sketches use all bits."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(27)
    return hashes
