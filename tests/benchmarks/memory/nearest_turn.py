"""A rival that is no model: it quotes the turn that shares most words with the question.

It keeps all turns of the user but those that ask, which the file tells it. A word counts by its first five letters, and
the less, the more turns of the file hold it. Of equal turns the newest is quoted. So the rival shows how far shared
words alone go, without a bound on what is kept. It refuses only if no word is shared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from jobs.evaluation.own_words.playing import Place
from jobs.evaluation.own_words.reader import OwnWordsDialogue
from tokenization.dialogues.broad.sentences import quoted
from tokenization.dialogues.values import REFUSALS
from tokenization.records import LANGUAGES

ARM = "nearest_turn"
LETTERS = 5
_WORD = re.compile(r"\w+")


def quote_nearest_turns(dialogues: Sequence[OwnWordsDialogue]) -> dict[Place, str]:
    """Answer every question of the dialogues."""
    turns = {language: Counter[str]() for language in LANGUAGES}
    for dialogue in dialogues:
        for turn in dialogue.turns:
            turns[dialogue.language].update(_words(turn.user))
    answers = {}
    for dialogue in dialogues:
        told: list[str] = []
        for number, turn in enumerate(dialogue.turns):
            if turn.probe is None:
                told.append(turn.user)
                continue
            asked, counts = _words(turn.user), turns[dialogue.language]
            newest_first = [(_weight(asked & _words(one), counts), one) for one in reversed(told)]
            weight, nearest = max(newest_first, key=lambda pair: pair[0], default=(0.0, ""))
            found = quoted(nearest, dialogue.language) if weight else REFUSALS[dialogue.language]
            answers[dialogue.id, number] = found
    return answers


def _words(text: str) -> set[str]:
    return {word[:LETTERS].lower() for word in _WORD.findall(text)}


def _weight(words: set[str], turns: Mapping[str, int]) -> float:
    return sum(1 / math.log(2 + turns[word]) for word in words)
