"""Rows of each schema become interactions, or are refused with a reason."""

from __future__ import annotations

import pytest

from tokenization.conversations.adapters import ADAPTERS
from tokenization.conversations.chat import chat
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
        ("query_answer", {"query": "x", "answer": "nan"}, "no answer", ""),
        ("first_turn_plus_interactions", {"query": "NULL", "answer": "x", "interactions": []}, "no query", ""),
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
        ({"language": "Python", "lang": "pl"}, "pl"),
        ({"language": "python"}, "en"),
        ({"language": "c++", "lang": "unknown"}, "en"),
        ({"lang": float("nan")}, "en"),
        ({"lang": "und", "language": "Polish"}, "pl"),
        ({"lang": ["pl"]}, "pl"),
        ({"lang": '["pl"]'}, "pl"),
        ({"language": "['pl']"}, "pl"),
        ({"lang": "__label__pl"}, "pl"),
        ({"lang": "__label__pol_Latn"}, "pl"),
        ({"language": "język polski"}, "pl"),
        ({"language": "Polish language"}, "pl"),
    ],
)
def test_languages_as_data_sets_write_them(row, expected):
    assert language_of(row, "en") == expected


def test_other_languages_are_refused():
    for row in ({"conversation": [{"language": "Russian"}]}, {"lang": ["de"]}, {"lang": "[de"}, {"lang": "cs"}):
        with pytest.raises(RowError, match="another language"):
            language_of(row, "en")


LOOK = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A lamp."}]
PICTURED = [
    *({"conversations": LOOK, name: "a.jpg"} for name in ("image", "video", "audio", "Image")),
    *({"messages": LOOK, name: ["a.png"]} for name in ("images", "videos", "audios")),
    {"messages": LOOK, "images": [{"path": None}]},
    {"question": "What is it?", "answer": "A lamp.", "image": b"x"},
    {"question": "What is it? <image>", "answer": "A lamp."},
    {"messages": [LOOK[0] | {"images": ["a"]}, LOOK[1]]},
    *(
        {"conversations": [LOOK[0] | {"value": value}, LOOK[1]]}
        for value in ("<image>\nWhat is it?", "What is it?\n<video>", "<|image_1|> What is it?", "<|vision_start|>",
                      "![](attachment:a.png) What is it?", "<audio>")
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", PICTURED)
def test_a_chat_about_a_picture_is_refused(row):
    with pytest.raises(RowError, match="a picture, a video or a sound"):
        chat(row)


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"messages": LOOK, "images": [], "image": None, "video": "", "audio": float("nan")}, "What is it?"),
        ({"messages": LOOK, "images": [None, ""], "image": "null", "videos": "[]"}, "What is it?"),
        *(
            ({"question": text, "answer": "A lamp."}, text)
            for text in ("What does `<image>` mean?", "Mend <video><source></video>", "Mend <image href='a'/>")
        ),
    ],
)
def test_a_chat_without_a_picture_is_read(row, question):
    assert chat(row) == [Interaction(question, "A lamp.")]


FRUIT = Interaction("Which is a fruit?\n\nA) Apple\nB) Dog\nC) Car", "A) Apple")


@pytest.mark.parametrize(
    "more",
    [
        {"choices": ["Apple", "Dog", "Car"], "answer": "A"},
        {"choices": ["Apple", "Dog", "Car"], "answer": "(a)."},
        {"choices": ["Apple", "Dog", "Car"], "answer": 0},
        {"choices": ["Apple", "Dog", "Car"], "answer": 0.0},
        {"choices": ["Apple", "Dog", "Car"], "answer": "0"},
        {"options": ["A) Apple", "B) Dog", "C) Car"], "answer": "A"},
        {"options": {"A": "Apple", "B": "Dog", "C": "Car", "D": None}, "answer": "apple"},
        {"choices": {"text": ["Apple", "Dog", "Car"], "label": ["A", "B", "C"]}, "answer": "A"},
        {"choices": "['Apple', 'Dog', 'Car']", "answer": "A"},
        {
            "choices": [{"label": "A", "text": "Apple"}, {"label": "B", "text": "Dog"}, {"label": "C", "text": "Car"}],
            "answer": 0,
        },
        {
            "options": [{"key": "A", "value": "Apple"}, {"key": "B", "value": "Dog"}, {"key": "C", "value": "Car"}],
            "answer": "A",
        },
    ],
)
def test_a_question_shows_its_choices_and_the_answer_is_one_of_them(more):
    row = {"question": "Which is a fruit?"} | more
    assert chat(row) == [FRUIT]


def test_other_questions_with_choices():
    asked = {"question": "Which is 4? A. 2 B. 4", "choices": ["2", "4"]}
    assert chat(asked | {"answer": "B"}) == [Interaction("Which is 4? A. 2 B. 4", "B) 4")]
    assert chat(asked | {"answer": "Count them."}) == [Interaction("Which is 4? A. 2 B. 4", "Count them.")]
    numbered = {"question": "Which?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answer": "1"}
    assert chat(numbered) == [Interaction("Which?\n\n1) a\n2) b", "1) a")]
    plain = {"question": "2 + 2?", "answer": "4", "options": {"temperature": 1}}
    assert chat(plain) == [Interaction("2 + 2?", "4")]
    for answer in ("E", 3):
        with pytest.raises(RowError, match="an answer that is none of the choices"):
            chat(asked | {"answer": answer})
    assert chat(asked | {"answer": "7"}) == [Interaction("Which is 4? A. 2 B. 4", "7")]


@pytest.mark.parametrize(
    ("choices", "answer", "line"),
    [
        (["8", "2", "24", "120"], 2, "C) 24"),
        (["8", "2", "24", "120"], "2", "B) 2"),
        (["2 cm", "3 cm", "4 cm"], "2", "2"),
        (["Apple", "Dog", "Car"], "2", "C) Car"),
        (["True", "False"], False, "B) False"),
        (["Vitamin B", "C", "D", "A"], "A", "D) A"),
        (["In 1945", "In 1939"], "1945", "1945"),
        (["formal", "short"], "We are not amused.", "We are not amused."),
    ],
)
def test_which_choice_an_answer_is(choices, answer, line):
    [found] = chat({"question": "Which?", "choices": choices, "answer": answer})
    assert found.answer == line and ("A) " in found.query) == (") " in line)
