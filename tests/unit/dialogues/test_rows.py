"""Rows of each schema become interactions, or are refused with a reason."""

from __future__ import annotations

import pytest

from tokenization.conversations.adapters import ADAPTERS
from tokenization.conversations.rows import RowError, language_of, preferences
from tokenization.records import Interaction, Preference


def adapt(adapter: str, row: dict) -> list[Interaction]:
    return ADAPTERS[adapter].convert(row)


def test_query_and_answer():
    row = {"query": "Two?", "answer": "2", "answer_length": 1}
    assert adapt("query_answer", row) == [Interaction("Two?", "2")]


def test_the_first_turn_outside_the_list_comes_first():
    row = {"query": "a", "answer": "b", "interactions": [{"query": "c", "answer": "d"}], "system": None}
    assert adapt("first_turn_plus_interactions", row) == [Interaction("a", "b"), Interaction("c", "d")]
    row |= {"interactions": None, "system": "Be brief."}
    assert adapt("first_turn_plus_interactions", row) == [
        Interaction("", "", internal="Be brief."),
        Interaction("a", "b"),
    ]


def test_thinking_and_tools_in_any_order_of_fields():
    call = {
        "tool_call": '{"name": "weather"}',
        "answer": "",
        "query": "Rain?",
        "think": "I must look.",
        "internal": None,
    }
    result = {"think": " \n", "query": None, "tool_response": '{"rain": true}', "answer": "Yes."}
    same = {"query": "", "answer": "Yes.", "tool_use": '{"rain": true}'}
    expected = [
        Interaction("", "", internal="You have tools."),
        Interaction("Rain?", "", think="I must look.", tool_call='{"name": "weather"}'),
        Interaction("", "Yes.", tool_result='{"rain": true}'),
    ]
    for answered in (result, same, result | same):
        assert adapt("interactions", {"interactions": [call, answered], "system": "You have tools."}) == expected


def test_preference_pairs():
    accepted, rejected = {"think": "hm", "answer": "good"}, {"answer": "bad", "tool_call": None, "think": ""}
    nothing = {"think": None, "answer": None, "tool_call": None}
    row = {"interactions": [{"query": "q", "accepted": accepted, "rejected": rejected, "neutral": nothing}]}
    good, bad = Interaction("q", "good", think="hm"), Interaction("q", "bad")
    assert preferences(row) == [Preference(good, bad)]
    assert adapt("preference_pairs", row) == [good]
    row["interactions"][0]["neutral"] = {"answer": "so so"}
    assert preferences(row) == [Preference(good, bad, Interaction("q", "so so"))]


@pytest.mark.parametrize(
    ("adapter", "row", "reason", "where"),
    [
        ("query_answer", {"query": "", "answer": "x"}, "no query", ""),
        ("query_answer", {"query": "x", "answer": "  "}, "no answer", ""),
        ("query_answer", {"query": 5, "answer": "x"}, "query holds int, not text", ""),
        (
            "query_answer",
            {"query": "\ud800", "answer": "x"},
            "not UTF-8",
            "query, half a surrogate pair at character 0",
        ),
        (
            "interactions",
            {"interactions": [{"query": "q", "answer": "a\0"}]},
            "NUL",
            "interactions[0].answer, at character 1",
        ),
        ("query_answer", {"query": "q", "answer": "a" * (1 + (16 << 20))}, "too long", "answer, 16,777,217 bytes"),
        ("interactions", {"interactions": []}, "no interactions", ""),
        ("interactions", {"interactions": None}, "no interactions", ""),
        ("interactions", {"interactions": "text"}, "interactions holds str, not a list", ""),
        ("interactions", {"interactions": ["q"]}, "interactions holds str, not structs", "interactions[0]"),
        (
            "interactions",
            {"interactions": [{"query": "q", "answer": "a"}, {"query": "q", "answer": "a", "tool_response": "r"}]},
            "a query and a tool result at once",
            "interactions[1]",
        ),
        (
            "interactions",
            {"interactions": [{"answer": "a", "tool_response": "r", "tool_use": "other"}]},
            "tool_response and tool_use differ",
            "interactions[0]",
        ),
        (
            "preference_pairs",
            {"interactions": [{"query": "q", "accepted": {"answer": "a"}, "rejected": {"answer": "a"}}]},
            "accepted and rejected are the same",
            "interactions[0]",
        ),
        (
            "preference_pairs",
            {"interactions": [{"query": "q", "accepted": {"answer": "a"}, "rejected": None}]},
            "no answer",
            "interactions[0].rejected",
        ),
    ],
)
def test_what_is_no_conversation_is_refused_with_a_reason(adapter, row, reason, where):
    with pytest.raises(RowError) as caught:
        adapt(adapter, row)
    assert (caught.value.reason, caught.value.where) == (reason, where)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, "en"),
        ({"lang": "pl"}, "pl"),
        ({"lang": None, "language": "English"}, "en"),
        ({"conversation": [{"role": "user", "language": "Polish"}]}, "pl"),
        ({"conversation": []}, "en"),
        ({"lang": "en-US"}, "en"),
        ({"language": "pl_PL.UTF-8"}, "pl"),
        ({"messages": [{"role": "user", "language": "PL"}]}, "pl"),
    ],
)
def test_languages_as_data_sets_write_them(row, expected):
    assert language_of(row, "en") == expected


def test_other_languages_are_refused():
    with pytest.raises(RowError, match="another language"):
        language_of({"conversation": [{"language": "Russian"}]}, "en")
