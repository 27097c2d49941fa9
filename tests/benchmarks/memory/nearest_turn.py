"""A rival that learns nothing: it quotes the earlier turn that shares most words with the question.

It keeps all turns of the user, counts words by their first five letters, and gives a word less weight the more turns of
the file hold it. So it shows how far shared words alone go. It never refuses, unless no word is shared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from jobs.evaluation.own_words.playing import Place
from jobs.evaluation.own_words.reader import OwnWordsDialogue
from tokenization.dialogues.broad.phrasing import QUOTED
from tokenization.dialogues.values import REFUSALS

ARM = "nearest_turn"
LETTERS = 5
_WORD = re.compile(r"\w+")


def quote_nearest_turns(dialogues: Sequence[OwnWordsDialogue]) -> dict[Place, str]:
    """Answer every question of the dialogues."""
    turns = {language: Counter[str]() for language in QUOTED}
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
            shared = [_weight(_words(turn.user) & _words(one), turns[dialogue.language]) for one in told]
            answer = REFUSALS[dialogue.language]
            if any(shared):
                answer = QUOTED[dialogue.language].replace("{quote}", told[shared.index(max(shared))])
            answers[dialogue.id, number] = answer
    return answers


def _words(text: str) -> set[str]:
    return {word[:LETTERS].lower() for word in _WORD.findall(text)}


def _weight(words: set[str], turns: Mapping[str, int]) -> float:
    return sum(1 / math.log(2 + turns[word]) for word in words)
