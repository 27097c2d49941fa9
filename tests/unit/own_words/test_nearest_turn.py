"""The rival that quotes the turn which shares most words with the question."""

from __future__ import annotations

from jobs.evaluation.own_words.reader import OwnWordsDialogue
from tests.benchmarks.memory.nearest_turn import quote_nearest_turns

PROBE = {"kind": "recall", "gold": ["shed"], "forbidden": [], "facts": 2, "distance": 2}


def answers(*turns: str) -> dict[int, str]:
    """Play a dialogue. A turn that ends in "?" asks."""
    said = [{"user": turn} | ({"probe": PROBE} if turn.endswith("?") else {}) for turn in turns]
    dialogue = OwnWordsDialogue(id="a", language="en", tier="plain", attributes="new", turns=said)
    return {turn: answer for (_, turn), answer in quote_nearest_turns([dialogue]).items()}


def test_the_turn_with_the_most_and_the_rarest_shared_words_is_quoted_and_no_question_is():
    found = answers(
        "The ladder is in the shed.", "The saw is in the cellar.", "Where is the saw?", "So where is the ladder?"
    )
    assert found == {2: "You told me:\nThe saw is in the cellar.", 3: "You told me:\nThe ladder is in the shed."}


def test_of_equal_turns_the_newest_is_quoted_and_without_a_shared_word_none_is():
    assert answers("The saw is here.", "The saw is there.", "The saw?") == {2: "You told me:\nThe saw is there."}
    assert answers("The saw is here.", "What colour was my hat?") == {1: "You have not told me that."}
