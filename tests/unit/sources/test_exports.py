"""Chats as programs export them, and trees of OpenAssistant: which thread is read, and what makes one useless."""

import csv
import json
from dataclasses import replace

import pytest

from tokenization.conversations.adapters import detect
from tokenization.conversations.chat import chat
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.exports import as_chat, joined
from tokenization.conversations.rows import RowError
from tokenization.conversations.sources import partitions_of, read_conversations
from tokenization.quarantine import Rejected
from tokenization.records import Interaction
from tokenization.sources.source import Row

ASKED, TOLD, MORE, AGAIN = "Gdzie stoi latarnia?", "Nad morzem.", "Jak wysoka?", "Ma pięćdziesiąt metrów."
TURNS = [Interaction(ASKED, TOLD), Interaction(MORE, AGAIN)]


def nodes(*messages) -> dict:
    """Make a tree of ChatGPT of (id, parent, role, content, more)."""
    return {
        one: {"id": one, "parent": parent, "children": [], "message": role and {
            "id": one, "author": {"role": role}, "metadata": {}, "recipient": "all",
            "content": {"content_type": "text", "parts": [content]} if isinstance(content, str) else content, **more}}
        for one, parent, role, content, more in messages
    }  # fmt: skip


HIDDEN = {"metadata": {"is_visually_hidden_from_conversation": True}}
CHATGPT = nodes(
    ("root", None, None, "", {}),
    ("system", "root", "system", "", {}),
    ("about", "system", "user", {"content_type": "user_editable_context", "user_profile": "Jan"}, HIDDEN),
    ("1", "about", "user", ASKED, {}),
    ("2", "1", "assistant", "Odpowiedź, którą zastąpiono.", {}),
    ("3", "1", "assistant", f"{TOLD}【4†źródło】 \ue200cite\ue202turn0\ue201", {}),
    ("4", "3", "user", MORE, {}),
    ("5", "4", "assistant", AGAIN, {}),
    ("6", "4", "assistant", "Jeszcze inna.", {}),
)
CLAUDE = [
    {"uuid": "1", "sender": "human", "text": ASKED, "content": [{"type": "text", "text": ASKED}], "attachments": [],
     "files": [], "parent_message_uuid": "0"},
    {"uuid": "x", "sender": "assistant", "text": "Zastąpiona.", "content": [], "parent_message_uuid": "1"},
    {"uuid": "2", "sender": "assistant", "text": "shown differently", "parent_message_uuid": "1",
     "content": [{"type": "text", "text": TOLD}, {"type": "token_budget"}]},
    {"uuid": "3", "sender": "human", "text": MORE, "content": [], "parent_message_uuid": "2"},
    {"uuid": "4", "sender": "assistant", "text": AGAIN, "content": [], "parent_message_uuid": "3"},
]  # fmt: skip
WEB = {
    str(n): {"id": str(n), "parentId": str(n - 1), "role": role, "content": content}
    for n, (role, content) in enumerate([("user", ASKED), ("assistant", TOLD), ("user", MORE), ("assistant", AGAIN)])
}
STUDIO = [
    {"versions": [{"type": "singleStep", "role": role, "content": [{"type": "text", "text": "x"}]},
                  {"type": "multiStep", "role": role, "steps": [{"type": "contentBlock", "content":
                   [{"type": "text", "text": content}]}, {"type": "debugInfoBlock"}]}], "currentlySelected": 1}
    for role, content in [("user", ASKED), ("assistant", TOLD), ("user", MORE), ("assistant", AGAIN)]
]  # fmt: skip
LIBRE = [
    {"messageId": key, "parentMessageId": one["parentId"], "isCreatedByUser": one["role"] == "user",
     "sender": "Mixtral", "text": one["content"]} for key, one in WEB.items()
]  # fmt: skip


def said(role, text, *replies, **more) -> dict:
    return {"role": role, "text": text, "lang": "pl", "message_id": text, "replies": list(replies), **more}


TREE = said(
    "prompter",
    ASKED,
    said("assistant", "Gorsza.", said("prompter", "a", said("assistant", "b")), rank=1),
    said("assistant", "Usunięta.", rank=0, deleted=True),
    said(
        "assistant", TOLD, said("prompter", "Bez odpowiedzi."), said("prompter", MORE, said("assistant", AGAIN)), rank=0
    ),
)
EXPORTS = {
    "ChatGPT": {"title": "a", "mapping": CHATGPT, "current_node": "5", "id": "a"},
    "Claude": {"uuid": "a", "name": "b", "chat_messages": CLAUDE},
    "Claude, as it was": {"chat_messages": [
        {"sender": "human" if one["role"] == "user" else "assistant", "text": one["content"]} for one in WEB.values()]},
    "Open WebUI": {"id": "a", "title": "b", "chat": {"history": {"messages": WEB, "currentId": "3"}, "messages": []}},
    "Open WebUI, a list": {"chat": {"messages": list(WEB.values())}},
    "LM Studio": {"name": "a", "messages": STUDIO},
    "LibreChat": {"conversationId": "a", "messages": LIBRE},
    "OpenAssistant": {"message_tree_id": "a", "prompt": TREE},
}  # fmt: skip


@pytest.mark.parametrize("program", EXPORTS)
def test_the_thread_of_an_export(program, tmp_path):
    row = EXPORTS[program]
    assert chat(as_chat(row)) == TURNS and detect([row]) == "chat"
    (tmp_path / "conversations.json").write_text(json.dumps([row] if program != "LM Studio" else row, indent=1))
    source = ConversationSource(name="a", kind="files", language="pl", licence="own", path=str(tmp_path))
    [found] = [one for partition in partitions_of(source) for one in read_conversations(partition)]
    assert list(found.interactions) == TURNS and found.language == "pl"


MESSAGES = [
    {"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD},
    {"role": "user", "content": MORE}, {"role": "assistant", "content": AGAIN},
]  # fmt: skip
ORDINARY = [
    {"messages": MESSAGES, "mapping": {"PERSON_1": "Bob"}},
    {"messages": MESSAGES, "mapping": {}},
    {"messages": MESSAGES, "mapping": CHATGPT},
    {"messages": MESSAGES, "chat": {"id": 1}},
    {"messages": MESSAGES, "chat": {"messages": []}},
    {"messages": MESSAGES, "chat_messages": []},
    {"messages": MESSAGES, "chat_messages": ["a"]},
    {"messages": MESSAGES, "chat_messages": [{"sender": "human", "text": "b"}, {"sender": "assistant", "text": "c"}]},
    {"messages": MESSAGES, "prompt": {"replies": 3}},
    {"messages": [one | {"versions": 1} for one in MESSAGES]},
    {"messages": [one | {"versions": ["a"]} for one in MESSAGES]},
    {"messages": [one | {"isCreatedByUser": None} for one in MESSAGES]},
]


@pytest.mark.parametrize("row", ORDINARY)
def test_a_chat_with_a_column_that_exports_have_is_read_as_before(row):
    assert chat(as_chat(row)) == TURNS and detect([row]) == "chat"
    column, value = (
        next((name, value) for name, value in row.items() if name != "messages") if len(row) > 1 else ("", 0)
    )
    if column not in ("", "prompt"):
        answered = {"prompt": ASKED, "completion": TOLD, column: value}
        assert chat(as_chat(answered)) == TURNS[:1] and detect([answered]) == "chat"


def test_thoughts_and_tools_of_exports():
    tree = nodes(
        ("1", None, "user", ASKED, {}),
        (
            "2",
            "1",
            "assistant",
            {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Pomyślę."}]},
            {},
        ),
        ("3", "2", "assistant", {"content_type": "code", "text": "search('latarnia')"}, {"recipient": "web"}),
        ("4", "3", "tool", {"content_type": "tether_quote", "text": "Latarnia: nad morzem."}, {}),
        ("5", "4", "assistant", TOLD, {}),
    )
    call = json.dumps({"name": "web", "arguments": "search('latarnia')"})
    assert chat(as_chat({"mapping": tree})) == [
        Interaction(ASKED, "", think="Pomyślę.", tool_call=call),
        Interaction("", TOLD, tool_result="Latarnia: nad morzem."),
    ]
    shown = f'<details type="reasoning" done="true">\n<summary>s</summary>\n> Pomyślę.\n> Już.\n</details>\n{TOLD}'
    web = {"chat": {"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": shown}]}}
    assert chat(as_chat(web)) == [Interaction(ASKED, TOLD, think="Pomyślę.\nJuż.")]
    file = {"file_name": "a.txt", "extracted_content": "Treść."}
    claude = [{"sender": "human", "text": ASKED, "attachments": [file], "files": [{"file_name": "a.txt"}]},
              {"sender": "assistant", "text": TOLD}]  # fmt: skip
    assert chat(as_chat({"chat_messages": claude})) == [Interaction(f"Treść.\n\n{ASKED}", TOLD)]


IMAGE = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, ASKED]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"mapping": nodes(("1", None, "user", IMAGE, {}))}, "content that is no text"),
        ({"mapping": nodes(("1", None, "user", {"content_type": "new"}, {}))}, "content that is no text"),
        ({"mapping": nodes(("1", "2", "user", "a", {}), ("2", "1", "assistant", "b", {}))}, "circle"),
        ({"mapping": {"1": {"message": {"author": "?", "content": []}}}}, "not as programs export it"),
        ({"chat_messages": [{"sender": "human", "text": ASKED, "files": [{"file_name": "a.png"}]}]}, "does not hold"),
        ({"chat": {"messages": [{"role": "user", "content": ASKED, "files": [{}]}]}}, "does not hold"),
        ({"chat": {"messages": [{"role": "user", "content": '<details type="tool_calls">'}]}}, "what a tool did"),
        ({"messages": [{"versions": [], "currentlySelected": 0}]}, "without a version"),
        ({"prompt": said("prompter", ASKED, said("assistant", TOLD), deleted=True)}, "was deleted or rejected"),
        ({"prompt": said("prompter", ASKED, said("assistant", TOLD), review_result=False)}, "was deleted or rejected"),
        ({"prompt": said("prompter", ASKED, said("assistant", TOLD, rank="best"))}, "rank is no number"),
        ({"mapping": {"PERSON_1": "Bob"}}, "no messages"),
    ],
)
def test_what_makes_an_export_useless(row, reason):
    with pytest.raises(RowError, match=reason):
        chat(as_chat(row))


def test_messages_one_a_row_are_joined_to_trees_and_orphans_are_told():
    def row(number, one, parent, tree="a", role="assistant"):
        values = {"message_id": one, "parent_id": parent, "message_tree_id": tree, "text": one, "role": role}
        return Row("f", f"row {number}", values)

    broken = Rejected("f", "row 9", "not JSON")
    rows = [row(0, "p", None, role="prompter"), row(1, "x", "p"), row(2, "x", "p"), row(3, "y", "?"), broken,
            row(4, "q", None, "b", "prompter"), row(5, "z", "q", "b")]  # fmt: skip
    found = list(joined(rows))
    assert [one.place for one in found if isinstance(one, Row)] == ["row 0", "row 4"]
    told = [(one.place, one.reason) for one in found if isinstance(one, Rejected)]
    assert told == [("row 9", "not JSON"), ("row 2", "repeated"), ("row 3", "no parent")]
    assert [chat(as_chat(one.values)) for one in found if isinstance(one, Row)] == [
        [Interaction("p", "x")],
        [Interaction("q", "z")],
    ]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("falsehood", ["False", "false", "0", ""])
def test_messages_of_a_table_of_text_are_joined_too(ending, falsehood, tmp_path):
    def row(one, parent, role, text, rank="", deleted=falsehood, review="True"):
        return [one, parent, "a", role, text, rank, deleted, review, "pl"]

    names = "message_id parent_id message_tree_id role text rank deleted review_result lang".split()
    rows = [row("1", "", "prompter", ASKED), row("2", "1", "assistant", "Gorsza.", "10.0"),
            row("3", "1", "assistant", "Usunięta.", "0", "True"), row("4", "1", "assistant", "Zła.", "1", "1"),
            row("5", "1", "assistant", "Odrzucona.", "1", review="False"), row("6", "1", "assistant", TOLD, "2.0"),
            row("7", "6", "prompter", MORE, review=""), row("8", "7", "assistant", AGAIN)]  # fmt: skip
    rows += [["9", "", "b", "prompter", "Usunięte.", "", "true", "", "pl"], ["10", "9", "b", *rows[7][3:]]]
    with (tmp_path / f"messages.{ending}").open("w", newline="") as file:
        csv.writer(file, delimiter="," if ending == "csv" else "\t").writerows([names, *rows])
    source = ConversationSource(name="a", kind="files", language="en", licence="own", path=str(tmp_path))
    source = replace(source, adapter="message_rows")
    one, other = [found for partition in partitions_of(source) for found in read_conversations(partition)]
    assert list(one.interactions) == TURNS and one.language == "pl"
    assert isinstance(other, Rejected) and other.reason == "its first message was deleted or rejected"
