"""Judge answers to questions about memory by the words that they hold. A judge of strings knows no sentences: a right
value in a false sentence counts as right, and a right form that is not listed as wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from jobs.evaluation.own_words.refusals import REFUSALS

Judgement = Literal["correct", "stale", "mixed", "abstained", "wrong"]

_WORD = re.compile(r"\d+(?:[:.,]\d+)+|\w+")
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")


class Expected(Protocol):
    """What a right answer holds (`reader.OwnWordsProbe`)."""

    @property
    def kind(self) -> str: ...
    @property
    def gold(self) -> Sequence[str]: ...
    @property
    def also(self) -> Sequence[Sequence[str]]: ...
    @property
    def forbidden(self) -> Sequence[str]: ...


def normalise(text: str) -> tuple[str, ...]:
    """The words of a text in Unicode NFC, without case and punctuation. A time or a decimal is one word."""
    folded = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).casefold()
    return tuple(_WORD.findall(unicodedata.normalize("NFC", folded)))  # folding may take a letter apart


def place(words: tuple[str, ...], phrases: Iterable[str]) -> int | None:
    """The number of the word at which the first of the phrases begins; None if the text has none of them."""
    wanted = [normalise(phrase) for phrase in phrases]
    for start in range(len(words)):
        if any(phrase and words[start : start + len(phrase)] == phrase for phrase in wanted):
            return start
    return None


def judge(answer: str, probe: Expected) -> Judgement:
    """Judge an answer.

    `correct`: it holds a form of the gold value and of each further value, and nothing forbidden. In a comparison, a
    forbidden value may follow the right one. If nothing was told, a refusal without a forbidden value is correct.
    `stale`: only values from before an update. `mixed`: a forbidden value, with or without the right one.
    `abstained`: a refusal, although the fact was told. `wrong`: everything else.
    """
    words = normalise(answer)
    refused = place(words, REFUSALS) is not None
    forbidden = place(words, probe.forbidden)
    if not probe.gold:
        return "mixed" if forbidden is not None else "correct" if refused else "wrong"
    right = place(words, probe.gold)
    complete = right is not None and all(place(words, forms) is not None for forms in probe.also)
    if complete and (forbidden is None or (probe.kind == "count_or_compare" and right < forbidden)):
        return "correct"
    if forbidden is not None:
        return "stale" if probe.kind == "update" and right is None else "mixed"
    return "abstained" if refused and right is None else "wrong"
