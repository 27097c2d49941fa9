"""The rivals that are no models, on a conversation of a few turns."""

from __future__ import annotations

from tests.benchmarks.memory.quoting import UserTurns, quote


def answers(rival: str, *turns: str) -> dict[int, str]:
    """Play a conversation. A turn that ends in "?" asks."""
    asking = frozenset(number for number, turn in enumerate(turns) if turn.endswith("?"))
    return {turn: answer for name, _, turn, answer in quote([UserTurns("en", turns, asking)]) if name == rival}


def test_the_turn_with_the_most_and_the_rarest_shared_words_is_quoted_and_no_question_is():
    found = answers(
        "nearest_turn",
        "The ladder is in the shed.",
        "The saw is in the cellar.",
        "Where is the saw?",
        "So where is the ladder?",
    )
    assert found == {2: "You told me:\nThe saw is in the cellar.", 3: "You told me:\nThe ladder is in the shed."}


def test_of_equal_turns_the_newest_is_quoted_and_without_a_shared_word_none_is():
    found = answers("nearest_turn", "The saw is here.", "The saw is there.", "The saw?")
    assert found == {2: "You told me:\nThe saw is there."}
    assert answers("nearest_turn", "The saw is here.", "What colour was my hat?") == {1: "You have not told me that."}


def test_the_last_turn_and_all_turns_are_those_before_the_question():
    turns = ("The saw is here.", "The saw?", "I am tired.", "My hat?", "It rains.")
    assert answers("last_turn", *turns) == {1: "You told me:\nThe saw is here.", 3: "You told me:\nI am tired."}
    assert answers("all_turns", *turns)[3] == "You told me:\nThe saw is here. I am tired."
    assert answers("all_turns", "The saw?") == {0: "You have not told me that."}
