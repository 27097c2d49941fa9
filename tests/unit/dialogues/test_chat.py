"""Chats in every schema that people have them in become the same interactions, or are refused with a reason."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.conversations.adapters import ADAPTERS, detect
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.rows import RowError, UntrainedInteraction
from tokenization.conversations.sources import partitions_of, read_conversations
from tokenization.records import Interaction
from tokenization.sources.source import SourceError

chat = ADAPTERS["chat"].convert
BRIEF = Interaction("", "", internal="Be brief.")
CAPITAL = Interaction("Capital of France?", "Paris.")
POLAND = Interaction("And of Poland?", "Warsaw.")
ASKED = ["Capital of France?", "Paris.", "And of Poland?", "Warsaw."]


def said(role_field: str, content_field: str, user: str, assistant: str) -> list[dict]:
    return [
        {role_field: (user, assistant)[number % 2], content_field: text, "id": number}
        for number, text in enumerate(ASKED)
    ]


CALL = {"name": "sum", "arguments": {"a": 2, "ł": None, "b": [2, 3]}}
CALLED = '{"name": "sum", "arguments": {"a": 2, "b": [2, 3]}}'
CHATS = {
    "OpenAI": {"messages": said("role", "content", "user", "assistant")},
    "ShareGPT": {"conversations": said("from", "value", "human", "gpt"), "id": "a1"},
    "ShareGPT of other models": {"conversations": said("from", "value", "Human", "chatgpt-4")},
    "OpenAssistant": {"messages": said("role", "text", "prompter", "assistant")},
    "bots": {"conversation": said("speaker", "text", "USER", "Bot")},
    "Polish names": {"dialog": said("role", "content", "użytkownik", "asystent")},
    "UltraChat": {"id": "0", "data": ASKED},
    "LIMA": {"conversations": ASKED, "source": "wiki"},
    "pairs": {"turns": [{"human": a, "assistant": b} for a, b in (ASKED[:2], ASKED[2:])]},
    "pairs of strings": {"chat": [{"prompt": a, "response": b} for a, b in (ASKED[:2], ASKED[2:])]},
    "JSON in a column": {"messages": json.dumps(said("role", "content", "user", "assistant"))},
    "history": {"instruction": ASKED[2], "output": ASKED[3], "history": [ASKED[:2]]},
    "conversational prompt and completion": {
        "prompt": said("role", "content", "user", "assistant")[:3],
        "completion": [{"role": "assistant", "content": ASKED[3]}],
    },
    "messages beside the prompt": {"prompt": ASKED[0], "messages": said("role", "content", "user", "assistant")},
    "metadata under a name of messages": {"data": "2024-01-01", "messages": said("from", "value", "human", "gpt")},
    "an answer at the beginning, a question at the end": {
        "messages": [
            {"role": "assistant", "content": "Hello!"},
            *said("role", "content", "user", "model"),
            {"role": "user", "content": "Nobody answers?"},
        ]
    },
    "an answer beside messages": {"messages": said("role", "content", "user", "assistant")[:3], "response": ASKED[3]},
    "a message as the answer beside messages": {
        "conversation": said("role", "content", "user", "assistant")[:3],
        "completion": [{"role": "assistant", "content": ASKED[3]}],
        "score": 3,
    },
    "a struct of lists": {"messages": {"role": ["user", "assistant"] * 2, "content": ASKED, "name": None}},
    "a struct of lists under other names": {"turns": {"from": ("human", "gpt") * 2, "value": tuple(ASKED)}},
    "a struct of lists of questions and answers": {"conversations": {"human": ASKED[::2], "assistant": ASKED[1::2]}},
    "Python in a column": {"messages": str(said("role", "content", "user", "assistant"))},
    "history as text": {"instruction": ASKED[2], "output": ASKED[3], "history": json.dumps([ASKED[:2]])},
    "history as Python": {"instruction": ASKED[2], "output": ASKED[3], "history": str([ASKED[:2]])},
    "an empty question at the end": {
        "messages": [*said("role", "content", "user", "assistant"), {"role": "user", "content": ""}]
    },
    "an empty answer at the end": {
        "messages": [
            *said("role", "content", "user", "assistant"),
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": None},
        ]
    },
    "signs of templates at the ends": {
        "messages": [
            {"role": "user", "content": f"<s> {ASKED[0]}<|im_end|>\n"},
            {"role": "assistant", "content": f"{ASKED[1]}</s>"},
            {"role": "user", "content": f"{ASKED[2]} <|eot_id|><|endoftext|>"},
            {"role": "assistant", "content": f"{ASKED[3]}<end_of_turn>"},
        ]
    },
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": ASKED[0]}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": ASKED[1]}]},
            {"role": "user", "content": ["And of Poland?"]},
            {"role": "assistant", "content": {"text": ASKED[3]}},
        ]
    },
}


@pytest.mark.parametrize("name", CHATS)
def test_the_same_chat_in_every_schema(name):
    assert detect([CHATS[name]]) == "chat"
    assert chat(CHATS[name]) == [CAPITAL, POLAND]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Capital of France?", "completion": "Paris."}, [CAPITAL]),
        ({"prompt": "Capital of France?", "response": "Paris.", "input": None}, [CAPITAL]),
        ({"question": "Capital of France?", "answer": "Paris."}, [CAPITAL]),
        ({"instruction": "Capital of France?", "input": "", "output": "Paris."}, [CAPITAL]),
        ({"input": "Capital of France?", "output": "Paris."}, [CAPITAL]),
        ({"problem": "Capital of France?", "solution": "Paris."}, [CAPITAL]),
        ({"prompt": "Capital of France?</s>", "completion": "Paris.</s>"}, [CAPITAL]),
        ({"instruction": "Capital of France?", "input": "<noinput>", "output": "Paris."}, [CAPITAL]),
        ({"instruction": "Capital of France?", "input": "Noinput", "output": "Paris."}, [CAPITAL]),
        ({"instruction": "Capital of France?", "input": "nan", "output": "Paris.", "system": "None"}, [CAPITAL]),
        ({"question": "2 + 2?", "answer": 4}, [Interaction("2 + 2?", "4")]),
        ({"question": "2 - 2?", "answer": 0}, [Interaction("2 - 2?", "0")]),
        ({"question": "Is it so?", "answer": False}, [Interaction("Is it so?", "false")]),
        ({"question": "Capital of France?", "output": 0.7, "answer": "Paris."}, [CAPITAL]),
        (
            {"prompt": "Is it so?", "completion": "<s>no</s> yes", "label": 0},
            [Interaction("Is it so?", "<s>no</s> yes")],
        ),
        (
            {"question": "How many moons has Venus?", "answer": "None"},
            [Interaction("How many moons has Venus?", "None")],
        ),
        (
            {"prompt": "Crossed out?", "completion": "It is <s>old</s>"},
            [Interaction("Crossed out?", "It is <s>old</s>")],
        ),
        ({"system_prompt": "Be brief.", "question": "Capital of France?", "response": "Paris."}, [BRIEF, CAPITAL]),
        ({"instruction": "Sum up.", "input": "A text.", "output": "T."}, [Interaction("Sum up.\n\nA text.", "T.")]),
        ({"instruction": "Sum up.", "context": "A text.", "response": "T."}, [Interaction("Sum up.\n\nA text.", "T.")]),
        ({"question": "Sum?", "reasoning": "Easy.", "answer": "7"}, [Interaction("Sum?", "7", think="Easy.")]),
        ({"prompt": "Sum?", "response": "Easy.\n</think>\n\n7"}, [Interaction("Sum?", "7", think="Easy.")]),
        (
            {"prompt": "What closes?", "response": "It is `</think>`."},
            [Interaction("What closes?", "It is `</think>`.")],
        ),
    ],
)
def test_one_question_with_its_answer(row, expected):
    assert chat(row) == expected


RENDERED = [
    "\n\nHuman: Capital of France?\n\nAssistant: Paris.\n\nHuman: And of Poland?\n\nAssistant:",
    "<|im_start|>user\nCapital of France?<|im_end|>\n<|im_start|>assistant\nParis.<|im_end|>\n"
    "<|im_start|>user\nAnd of Poland?<|im_end|>\n<|im_start|>assistant\n",
    "<s>[INST] Capital of France? [/INST] Paris. </s><s>[INST] And of Poland? [/INST]",
    "Below is a task.\n\n### Instruction:\nCapital of France?\n\n### Response:\nParis.\n\n"
    "### Instruction:\nAnd of Poland?\n\n### Response:\n",
]


@pytest.mark.parametrize("prompt", RENDERED)
def test_a_prompt_that_was_rendered_is_the_chat_before_the_answer(prompt):
    for names in (("prompt", "completion"), ("prompt", "chosen"), ("instruction", "output")):
        assert chat(dict(zip(names, (prompt, " Warsaw.</s>"), strict=True))) == [CAPITAL, POLAND]


def test_a_prompt_that_quotes_a_chat_stays_as_it_is():
    for prompt in ("Translate:\nHuman: Hi!\nAssistant: Hello!", "Go on with this:\nHuman: Hi!\nAssistant:"):
        assert chat({"prompt": prompt, "completion": "Cześć!"}) == [Interaction(prompt, "Cześć!")]


@pytest.mark.parametrize(
    "question",
    [
        "Sum the numbers in the list.\nInput: [1, 2, 3]",
        "Human: What is that?",
        "User: hi there",
        "### Instruction: do it",
        "Response: 200\nWhy?",
        "Odmień zdanie.\nUżytkownik: Ala ma kota.",
        "Go on.\nBot: hello",
    ],
)
def test_a_question_with_one_line_that_looks_like_a_speaker_is_a_plain_question(question):
    assert chat({"instruction": question, "input": "", "output": "6"}) == [Interaction(question, "6")]


@pytest.mark.parametrize(
    "text",
    [
        "A chat. USER: Capital of France? ASSISTANT: Paris.</s>USER: And of Poland? ASSISTANT: Warsaw.</s>",
        "<bos><start_of_turn>user\nCapital of France?<end_of_turn>\n<start_of_turn>model\nParis.<end_of_turn>\n"
        "<start_of_turn>user\nAnd of Poland?<end_of_turn>\n<start_of_turn>model\nWarsaw.<end_of_turn>\n",
    ],
)
def test_texts_in_the_templates_of_vicuna_and_gemma(text):
    assert chat({"text": text}) == [CAPITAL, POLAND]


def test_speakers_who_go_on_and_instructions_on_the_way():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Let me think."},
        {"role": "assistant", "content": "Paris."},
        {"role": "developer", "content": "Now in Polish."},
        {"role": "user", "content": "And of Poland?"},
        {"role": "assistant", "content": "Warszawa."},
        {"role": "system", "content": "Say goodbye."},
        {"role": "assistant", "content": "Pa."},
    ]
    assert chat({"messages": messages}) == [
        BRIEF,
        Interaction("Hello.\n\nCapital of France?", "Let me think.\n\nParis."),
        Interaction("And of Poland?", "Warszawa.", internal="Now in Polish."),
        Interaction("", "Pa.", internal="Say goodbye."),
    ]
    # what is said twice counts once, and an empty system message is none
    assert chat({"system": "Be brief.", "messages": messages})[0] == BRIEF
    assert chat({"messages": [{"role": "system", "content": ""}, *messages[2:5:2]]}) == [CAPITAL]


USED = [
    Interaction("Sum?", "", tool_call=CALLED),
    Interaction("", "It is 7.", tool_result='{"sum": 7}', think="Easy."),
]
ANSWERED = [
    {"role": "tool", "content": '{"sum": 7}', "tool_call_id": "c1"},
    {"role": "assistant", "content": "It is 7.", "reasoning_content": "Easy."},
]
TOOLS = {
    "tool_calls": [
        {"role": "user", "content": "Sum?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
        *ANSWERED,
    ],
    "arguments as text": [
        {"role": "user", "content": "Sum?"},
        {"role": "assistant", "content": "", "function_call": {"name": "sum", "arguments": '{"a": 2, "b": [2, 3]}'}},
        {"role": "function", "name": "sum", "content": '{"sum": 7}'},
        {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\nIt is 7."},
    ],
    "parts": [
        {"role": "user", "content": "Sum?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "sum", "input": CALL["arguments"]}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": '{"sum": 7}'}]},
        {"role": "assistant",
         "content": [{"type": "thinking", "thinking": "Easy."}, {"type": "text", "text": "It is 7."}]},
    ],
    "roles": [
        {"from": "human", "value": "Sum?"},
        {"from": "function_call", "value": CALLED},
        {"from": "observation", "value": '{"sum": 7}'},
        {"from": "gpt", "value": "<think>Easy.</think>It is 7."},
    ],
    "Gemini": [
        {"role": "user", "parts": [{"text": "Sum?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "sum", "args": CALL["arguments"]}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "sum", "response": {"sum": 7}}}]},
        {"role": "model", "parts": [{"text": "<think>Easy.</think>It is 7."}]},
    ],
    "tags": [
        {"from": "human", "value": "Sum?"},
        {"from": "gpt", "value": f"<tool_call>\n{CALLED}\n</tool_call>"},
        {"from": "tool", "value": '<tool_response>\n{"sum": 7}\n</tool_response>'},
        {"from": "gpt", "value": "<think>Easy.</think>It is 7."},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_calls_and_results_of_tools(name):
    assert chat({"messages": TOOLS[name]}) == USED
    for tools in ("tools", "functions"):
        told = chat({"messages": TOOLS[name], tools: [{"name": "sum"}], "system": "Be brief."})
        assert told == [Interaction("", "", internal='Be brief.\n\n[{"name": "sum"}]'), *USED]


def test_a_result_of_a_tool_may_have_fields_of_any_name(tmp_path):
    messages = [{**one, "content": {"sum": 7}} if one["role"] == "tool" else one for one in TOOLS["tool_calls"]]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages, "lang": " "}) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"contents": TOOLS["Gemini"], "language": ""}) + "\n")
    assert read(tmp_path) == [tuple(USED)] * 2


def test_arguments_of_any_name_survive_parquet_and_other_columns_are_not_read(tmp_path):
    rows = [{"messages": TOOLS["tool_calls"], "user_ip": "1.2.3.4"}, CHATS["OpenAI"]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    table = pa.table({"data": [ASKED, ASKED[:2]]})
    pq.write_table(table, tmp_path / "b.parquet")
    assert read(tmp_path / "a.parquet") == [tuple(USED), (CAPITAL, POLAND)]
    assert read(tmp_path / "b.parquet") == [(CAPITAL, POLAND), (CAPITAL,)]


@pytest.mark.parametrize(
    ("row", "reason", "where"),
    [
        ({"messages": []}, "no messages", ""),
        ({"messages": [{"role": "user", "content": "?"}]}, "no answers", ""),
        ({"prompt": "?", "completion": None}, "no answers", ""),
        ({"messages": [{"role": "user", "content": "?", "toxic": True}]}, "toxic", "messages[0]"),
        ({"conversation": [], "redacted": True}, "redacted", ""),
        ({"prompt": "?", "completion": "No.", "label": False}, "a rejected answer", "label"),
        ({"prompt": "?", "completion": "No.", "label": "False"}, "a rejected answer", "label"),
        ({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "No.", "weight": 0}]},
         "no answer to train on", ""),
        ({"question": "?", "answer": "nan"}, "no answers", ""),
        ({"question": "?", "answer": "#N/A"}, "no answers", ""),
        ({"question": "N/A", "answer": "Yes."}, "no answers", ""),
        ({"question": "?", "answer": "[deleted]"}, "no answers", ""),
        ({"messages": ["?", "[removed]"]}, "no answers", ""),
        ({"messages": {"role": ["user", "assistant"], "content": ["?"]}},
         "messages holds lists that are not of one length", ""),
        ({"messages": "[" * 200_000}, "messages holds text, not a list", ""),
        ({"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "!"}]},
         "an empty message", "messages[0]"),
        ({"instruction": "?", "output": "!", "history": "none at all"}, "history holds no list", ""),
        ({"messages": "[]", "chosen": "No."}, "no messages", ""),
        ({"prompt": "?", "response": "<think>\nhm"}, "no answers", ""),
        ({"question": "?", "answers": {"text": []}}, "no answers", ""),
        ({"messages": [{"role": "user", "content": None}]}, "an empty message", "messages[0]"),
        ({"messages": [{"role": "narrator", "content": "?"}]}, "an unknown role", "messages[0], 'narrator'"),
        ({"messages": [{"content": "?"}]}, "a message without a role", "messages[0]"),
        ({"messages": [3]}, "messages holds int, not messages", "messages[0]"),
        ({"messages": "[broken"}, "messages holds text, not a list", ""),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "NUL", "messages[0].content, at character 1"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "content that is no text",
            "messages[0].content[0] is of type 'image_url'",
        ),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "a tool call without a name",
            "messages[1]",
        ),
        (
            {"messages": [{"role": "tool", "content": "7"}, {"role": "user", "content": "?"}]},
            "a query and a tool result at once",
            "messages[1]",
        ),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "thinking": "hm"},
                          {"role": "user", "content": "Well?"}]},
            "thoughts without an answer",
            "messages[2]",
        ),
    ],
)  # fmt: skip
def test_what_is_no_chat_is_refused_with_a_reason(row, reason, where):
    with pytest.raises(RowError) as caught:
        chat(row)
    assert (caught.value.reason, caught.value.where) == (reason, where)


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"loss": "false"}, {"training": 0.0}])
def test_an_answer_that_is_not_to_be_trained_on_is_read_and_no_target(mark, tmp_path):
    messages = said("role", "content", "user", "assistant")
    messages[1] |= mark
    messages[3] |= dict.fromkeys(mark, 1)
    untrained = UntrainedInteraction(CAPITAL.query, CAPITAL.answer)
    assert chat({"messages": messages}) == [untrained, POLAND]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    assert read(tmp_path) == [(untrained, POLAND)]


def read(path) -> list[tuple[Interaction, ...]]:
    source = ConversationSource(name="talks", kind="files", language="en", path=str(path), licence="CC0-1.0")
    return [one.interactions for each in partitions_of(source) for one in read_conversations(each)]


@pytest.mark.parametrize(
    ("adapter", "row"),
    [
        ("query_answer", {"query": "q", "answer": "a"}),
        ("first_turn_plus_interactions", {"query": "q", "answer": "a", "interactions": []}),
        ("interactions", {"interactions": [{"query": "q", "answer": "a"}]}),
        (
            "preference_pairs",
            {"interactions": [{"query": "q", "accepted": {"answer": "a"}, "rejected": {"answer": "b"}}]},
        ),
        ("chat", {"messages": ASKED}),
    ],
)  # fmt: skip
def test_the_first_rows_tell_the_schema(adapter, row):
    broken = dict.fromkeys(row)
    assert detect([broken, row]) == adapter


def test_an_unknown_schema_is_named_with_the_way_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"post": "?", "reply": "!"}) + "\n")
    with pytest.raises(SourceError) as caught:
        read(path)
    said = "source talks: its columns are those of no schema; those that were read: 'post', 'reply' (byte 0 of file://"
    assert str(caught.value).startswith(said) and "set `adapter` to one of" in str(caught.value)
