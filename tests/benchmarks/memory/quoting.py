"""Rivals that are no models: they keep every turn of the user and quote from them.

`nearest_turn` quotes the turn that shares most words with the question. A word counts by its first five letters, and
the less, the more turns of all conversations hold it. Of equal turns the newest is quoted; if no word is shared, it
refuses. `last_turn` quotes the newest turn, `all_turns` every turn. Turns that ask are not kept: the test tells which
they are. So these rivals show how far shared words go, and how much a quotation proves, without a bound on what is
kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tokenization.dialogues.broad.sentences import quoted
from tokenization.dialogues.values import REFUSALS
from tokenization.records import LANGUAGES, Language

RIVALS = ("nearest_turn", "last_turn", "all_turns")
LETTERS = 5
_WORD = re.compile(r"\w+")


class UserTurns(NamedTuple):
    """What the user says in a conversation, and the numbers of the turns that ask."""

    language: Language
    said: Sequence[str]
    asking: frozenset[int]


def quote(conversations: Sequence[UserTurns]) -> Iterator[tuple[str, int, int, str]]:
    """Yield (rival, conversation, turn, answer) for every turn that asks."""
    counts = {language: Counter[str]() for language in LANGUAGES}
    for conversation in conversations:
        for turn in conversation.said:
            counts[conversation.language].update(_words(turn))
    for number, (language, said, asking) in enumerate(conversations):
        for turn in sorted(asking):
            told = [one for place, one in enumerate(said[:turn]) if place not in asking]
            nearest = _nearest(said[turn], told, counts[language])
            for rival, found in zip(RIVALS, (nearest, "".join(told[-1:]), " ".join(told)), strict=True):
                yield rival, number, turn, quoted(found, language) if found else REFUSALS[language]


def _nearest(question: str, told: Sequence[str], counts: Mapping[str, int]) -> str:
    """Return the turn that shares most with the question, or nothing."""
    asked = _words(question)
    newest_first = [(_weight(asked & _words(one), counts), one) for one in reversed(told)]
    weight, found = max(newest_first, key=lambda pair: pair[0], default=(0.0, ""))
    return found if weight else ""


def _words(text: str) -> set[str]:
    return {word[:LETTERS].lower() for word in _WORD.findall(text)}


def _weight(words: set[str], counts: Mapping[str, int]) -> float:
    return sum(1 / math.log(2 + counts[word]) for word in words)
