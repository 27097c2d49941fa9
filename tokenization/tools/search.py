"""The tool `look_up`: the passage of some documents that fits a question best, by Okapi BM25 (Robertson and Zaragoza,
The Probabilistic Relevance Framework, 2009).

A term is a word without case and accents, cut to its first five letters, so that `konewka` and `konewkę` are one. Words
that stand in any question, such as `what`, are no terms. No package among our dependencies ranks passages.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

LONGEST = 240  # characters of a passage, unless a word is longer
STEM = 5  # letters
SATURATION, LENGTHS = 1.2, 0.75  # k1 and b

_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_WORD = re.compile(r"\w+")
_L = str.maketrans("łŁ", "lL")  # no accent, as Unicode has it
_NO_TERMS = frozenset(
    "a an and are as at be by did do does for from had has have how i in is it me my of on or our that the their there "
    "they this to was we were what when where which who whose why will with you your "
    "albo ale bo być był była było były co czego czy czyj do dla gdzie i ich ile im ja jak jaka jaki jakie jakim jest "
    "jego jej już kiedy kim kogo komu kto która które który lub ma mam masz mi moja moje mój na nas nie o od po pod "
    "przez przy są się ta tak te tego tej ten to tu w we z za ze że".split()
)


@dataclass(frozen=True)
class Passage:
    """A piece of a document, and the name of its file."""

    source: str
    text: str


def cut(source: str, text: str) -> Iterator[Passage]:
    """Cut a document into passages: paragraphs, and where one is longer than LONGEST, as many whole sentences or words
    as fit."""
    for paragraph in _PARAGRAPH.split(text):
        piece = ""
        for part in _parts(paragraph):
            if piece and len(piece) + 1 + len(part) > LONGEST:
                yield Passage(source, piece)
                piece = ""
            piece = f"{piece} {part}" if piece else part
        if piece:
            yield Passage(source, piece)


def _parts(paragraph: str) -> Iterator[str]:
    for sentence in _SENTENCE.split(paragraph):
        words = sentence.split()
        whole = " ".join(words)
        yield from [whole] if 0 < len(whole) <= LONGEST else words


def terms(text: str) -> list[str]:
    """Return the terms of a text, in order."""
    found = (word for word in _WORD.findall(text.casefold()) if word not in _NO_TERMS)
    return [_plain(word)[:STEM] for word in found]


def _plain(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.translate(_L))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


class Index:
    """Passages with the counts of their terms."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.passages: Sequence[Passage] = tuple(passages)
        self._counts = [Counter(terms(passage.text)) for passage in self.passages]
        self._lengths = [counts.total() for counts in self._counts]
        self._mean = sum(self._lengths) / max(1, len(self._lengths))
        self._having = Counter(term for counts in self._counts for term in counts)

    def best(self, query: str) -> Passage | None:
        """Return the passage with the highest score, the first of equals; None if no passage has a term of the
        query."""
        scores = self.scores(query)
        at = max(range(len(scores)), key=scores.__getitem__, default=-1)
        return self.passages[at] if scores and scores[at] > 0 else None

    def scores(self, query: str) -> list[float]:
        """Return the sum over the query's terms t, each counted once, of idf(t)·f·(k1 + 1) / (f + k1·(1 - b + b·l/L)):
        f times a passage of l terms has t, L is the mean of l, idf(t) = ln(1 + (N - n + ½) / (n + ½)), and n of the N
        passages have t."""
        asked = dict.fromkeys(terms(query))
        weights = {
            term: math.log(1 + (len(self.passages) - n + 0.5) / (n + 0.5))
            for term in asked
            if (n := self._having[term])
        }
        scores = []
        for counts, length in zip(self._counts, self._lengths, strict=True):
            damping = SATURATION * (1 - LENGTHS + LENGTHS * length / max(self._mean, 1e-9))
            found = ((weight, counts[term]) for term, weight in weights.items())
            scores.append(sum(weight * n * (SATURATION + 1) / (n + damping) for weight, n in found))
        return scores
