"""Recognise the refusals of the generators: answers that say that a fact is not known."""

from __future__ import annotations

import re
from functools import cache

from tokenization.dialogues.broad.book import load, placeholders
from tokenization.dialogues.values import REFUSALS, words
from tokenization.records import Language

_NOUN = r"(?:\w+ ){1,8}"  # the noun that a refusal names


def refuses(text: str, language: Language) -> bool:
    """Say whether a text contains a refusal, of any split, as a sequence of whole words."""
    return bool(_pattern(language).search(f" {' '.join(words(text))} "))


@cache
def _pattern(language: Language) -> re.Pattern[str]:
    phrases = load(language).phrases
    sentences = [REFUSALS[language], *phrases["refuse"], *phrases["refuse_noun"]]
    return re.compile("|".join(map(_expression, sentences)))


def _expression(sentence: str) -> str:
    for name in placeholders(sentence):
        before, _, after = sentence.partition(f"{{{name}}}")
        return f" {_sequence(before)}{_NOUN}{_sequence(after)}"
    return f" {_sequence(sentence)}"


def _sequence(text: str) -> str:
    return "".join(f"{re.escape(word)} " for word in words(text))
