"""Chats in the schemas of public data sets and of people's own files, each with the one conversation it holds."""

import pytest

from tokenization.conversations.adapters import detect
from tokenization.conversations.chat import chat
from tokenization.conversations.rows import RowError
from tokenization.records import Interaction

ASKED, TOLD = "Gdzie stoi latarnia?", "Latarnia stoi nad morzem."
TURN = Interaction(ASKED, TOLD)
SYSTEM = Interaction("", "", internal="Bądź miły.")
USER, ASSISTANT = {"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}


@pytest.mark.parametrize(
    "row",
    [
        {"contents": [{"role": "user", "parts": [{"text": ASKED}]}, {"role": "model", "parts": [{"text": TOLD}]}]},
        {"conversation": [{"input": ASKED, "output": TOLD}]},
        {"conversation": [["user", ASKED], ["assistant", TOLD]]},
        {"utterances": [{"speaker": "użytkownik", "text": ASKED}, {"speaker": "asystent", "text": TOLD}]},
        {"messages": [{"author": {"role": "user"}, "text": ASKED}, {"author": {"role": "assistant"}, "text": TOLD}]},
        {"Messages": [USER, ASSISTANT]},
        {"prompt": ASKED, "chosen": TOLD, "rejected": "Nie wiem."},
        {"prompt": ASKED, "chosen": [USER, ASSISTANT], "rejected": [USER]},
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [USER]},
        {"conversations": [{"from": "human", "value": ASKED}], "chosen": {"from": "gpt", "value": TOLD},
         "rejected": {"from": "gpt", "value": "Nie wiem."}},
        {"messages": [USER], "chosen": TOLD},
        {"messages": [USER, ASSISTANT], "label": True, "tools": "[]"},
        {"prompt": [USER], "completion": [ASSISTANT], "label": 1},
        {"kind": "QA", "input": ASKED, "target": TOLD},
        {"inputs": ASKED, "targets": TOLD, "language": "Polish"},
        {"question": ASKED, "answers": {"text": [TOLD, "nie"], "answer_start": [0, 1]}},
        {"question": ASKED, "answers": [TOLD]},
        {"question": ASKED, "answer": [TOLD, "nad morzem"]},
        {"prompt": [USER], "completion": [TOLD]},
        {"question": ASKED, "answer": TOLD, "toxic": "False", "redacted": float("nan"), "label": "True"},
        {"Question": ASKED, "Answer": TOLD},
        {"pytanie": ASKED, "odpowiedź": TOLD},
        {"instrukcja": ASKED, "wejście": "", "wyjście": TOLD},
        {"instruction": ASKED, "input": float("nan"), "output": TOLD},
        {"instruction": ASKED, "response": TOLD, "text": f"### Human: {ASKED}### Assistant: something else"},
    ],
)  # fmt: skip
def test_one_turn(row):
    assert chat(row) == [TURN] and detect([row]) == "chat"


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        (f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n{TOLD}<|im_end|>\n", [TURN]),
        (f"<|im_start|>system\nBądź miły.<|im_end|>\n<|im_start|>user\n{ASKED}<|im_end|>\n"
         f"<|im_start|>assistant\n{TOLD}", [SYSTEM, TURN]),
        (f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{ASKED}<|eot_id|>"
         f"<|start_header_id|>assistant<|end_header_id|>\n\n{TOLD}<|eot_id|>", [TURN]),
        (f"<s>[INST] <<SYS>>\nBądź miły.\n<</SYS>>\n\n{ASKED} [/INST] {TOLD} </s><s>[INST] Aha [/INST] Tak. </s>",
         [SYSTEM, TURN, Interaction("Aha", "Tak.")]),
        (f"<|system|>\nBądź miły.</s>\n<|user|>\n{ASKED}</s>\n<|assistant|>\n{TOLD}</s>", [SYSTEM, TURN]),
        (f"### Human: {ASKED}### Assistant: {TOLD}### Human: Aha### Assistant: Tak.",
         [TURN, Interaction("Aha", "Tak.")]),
        (f"Below is an instruction.\n\n### Instruction:\n{ASKED}\n\n### Response:\n{TOLD}", [TURN]),
        (f"\n\nHuman: {ASKED}\n\nAssistant: {TOLD}\n\nHuman: Aha", [TURN]),
    ],
)  # fmt: skip
def test_a_chat_in_one_text(text, turns):
    assert chat({"text": text}) == turns
    assert chat({"chosen": text, "rejected": text}) == turns


QUOTED = "Tak:\nUser: Hello\nBot: Hi there\nsystem: linux\nInput: 3 4\nOutput: 7"


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>",
        "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
        "<s>[INST] {} [/INST] {} </s>",
        "<|user|>\n{}</s>\n<|assistant|>\n{}</s>",
        "### Instruction:\n{}\n\n### Response:\n{}",
        "\n\nHuman: {}\n\nAssistant: {}",
    ],
)
def test_a_chat_in_an_answer_stays_in_it(text):
    assert chat({"text": text.format(ASKED, QUOTED)}) == [Interaction(ASKED, QUOTED)]
    assert chat({"text": text.format(QUOTED, TOLD)}) == [Interaction(QUOTED, TOLD)]


def test_speakers_have_one_name_each_after_a_preamble_and_with_an_input():
    assert chat({"text": f"Instruction: talk\n\nHuman: {ASKED}\n\nAssistant: {TOLD}"}) == [TURN]
    text = f"### Instruction:\nSkróć.\n\n### Input:\nA.\n\n### Response:\n{TOLD}\n### Input:\nB."
    assert chat({"text": text}) == [Interaction("Skróć.\n\nA.", f"{TOLD}\n### Input:\nB.")]
    assert chat({"text": f"System: Bądź miły.\nUser: {ASKED}\nBot: {QUOTED[:4]}"})[0] == SYSTEM


@pytest.mark.parametrize(
    "text", ["Latarnia stoi nad morzem.", "User: I am alone.", "He said: the user: nobody", "12: a"]
)
def test_a_text_that_is_no_chat_is_refused(text):
    with pytest.raises(RowError, match="text is no transcript of a chat"):
        chat({"text": text})


@pytest.mark.parametrize(("flag", "reason"), [({"label": "False"}, "a rejected answer"), ({"toxic": "True"}, "toxic")])
def test_flags_in_tables_are_text(flag, reason):
    with pytest.raises(RowError, match=reason):
        chat({"question": ASKED, "answer": TOLD, **flag})


def test_earlier_turns_and_instructions_beside_a_question():
    history = [{"role": "USER", "message": "Hej"}, {"role": "CHATBOT", "message": "Cześć"}]
    assert chat({"message": ASKED, "chat_history": history, "response": TOLD}) == [Interaction("Hej", "Cześć"), TURN]
    row = {"systemInstruction": {"parts": [{"text": "Bądź miły."}]}, "contents": [USER, ASSISTANT]}
    assert chat(row) == [SYSTEM, TURN]
