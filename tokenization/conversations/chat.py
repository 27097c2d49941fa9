"""Turn chats into interactions, whatever schema they have: a list of messages, or one question with its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tokenization.conversations.choices import COLUMNS as CHOICES
from tokenization.conversations.choices import FIELDS as CHOICE_FIELDS
from tokenization.conversations.choices import choices_of, chosen, shown
from tokenization.conversations.messages import (
    ANSWERS,
    QUESTIONS,
    ROLE_FIELDS,
    THINK_FIELDS,
    Message,
    is_table,
    read_messages,
)
from tokenization.conversations.messages import FIELDS as MESSAGE_FIELDS
from tokenization.conversations.rows import (
    MESSAGES,
    PICTURES,
    RowError,
    Struct,
    UntrainedInteraction,
    is_number,
    listed,
    present,
    refuse_flagged,
    refuse_pictures,
    text_of,
    word,
)
from tokenization.conversations.transcripts import prompt_transcript, transcript, trimmed, without_ends
from tokenization.records import Interaction

_BESIDE = ("completion", "response", "answer", "answers", "chosen", "output", "solution", "odpowiedź", "odpowiedz")
_MATERIAL = ("input", "context", "wejście")  # what an instruction is about
_SYSTEM = ("system", "system_prompt", "systemInstruction")
_HISTORY = ("history", "chat_history")


def _both(*names: str) -> frozenset[str]:
    """The names of columns, as they are and capitalised."""
    return frozenset(spelled for name in names for spelled in (name, name[:1].upper() + name[1:]))


COLUMNS = _both(*MESSAGES, *ANSWERS, "text")  # a row of this schema has one of them
FIELDS = MESSAGE_FIELDS | CHOICE_FIELDS | _both(
    *MESSAGES, *QUESTIONS, *ANSWERS, *_MATERIAL, *_SYSTEM, *_HISTORY, "text", "lang", "label", *THINK_FIELDS, *CHOICES,
    *PICTURES
)  # fmt: skip


def chat(row: Struct) -> list[Interaction]:
    """Read the messages of a row (`MESSAGES` names the columns), or its question and its answer.

    A text may hold a whole chat (`conversations.transcripts`), and of answers to choose from, the one that was `chosen`
    counts. A row with `label` = false has an answer that raters rejected. An answer beside messages that end without
    one is theirs. Names of columns may be capitalised. Messages of one speaker in a row
    become one, with an empty line between them. System messages at the beginning are the system prompt; a later one is
    the instruction of the next interaction. What the assistant says before anybody asked, and a last question without
    an answer, are left out. Raises RowError for what is no chat, for what is rejected, toxic or redacted, and for what
    has a picture, a video or a sound.
    """
    row = present({name[:1].lower() + name[1:]: value for name, value in row.items()}, ANSWERS)
    refuse_flagged(row, "")
    refuse_pictures(row, "")
    if word(row.get("label")) == "false":
        raise RowError("a rejected answer", "label")
    messages = [*_system(row), *_history(row)]
    column = next((name for name in MESSAGES if _is_list(row.get(name))), None)
    if column and not (column == "chosen" and isinstance(row.get("prompt"), list)):
        messages += read_messages(row[column], column)
        if messages and messages[-1].role != "assistant" and (answer := _answer_in(row, column, _BESIDE)):
            messages += _answers(row, answer)
    else:
        messages += _single(row)
    if place := next((message.where for message in messages if message.has_a_place), None):
        raise RowError("a picture, a video or a sound", place)
    turns = list(_turns(messages))
    if all(turn.is_system_prompt for turn in turns):
        raise RowError("no answers" if messages else "no messages")
    if all(turn.is_system_prompt or isinstance(turn, UntrainedInteraction) for turn in turns):
        raise RowError("no answer to train on")
    return turns


def _is_list(value: object) -> bool:
    """Whether a column may hold messages. Some have metadata under the same names."""
    if isinstance(value, str):
        return value.lstrip().startswith("[")
    return is_table(value) or (isinstance(value, list | tuple) and bool(value))


def _system(row: Struct) -> Iterator[Message]:
    for name in _SYSTEM:
        if isinstance(row.get(name), Mapping):
            yield from read_messages([{"role": "system", **row[name]}], name)
        elif text := text_of(row, name, ""):
            yield Message("system", name, text)
    for name in ("tools", "functions"):
        if (tools := row.get(name)) and tools != "[]":
            yield Message("system", name, tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False))


def _history(row: Struct) -> Iterator[Message]:
    """Earlier turns beside an instruction, as messages or as lists of a question and its answer."""
    name = next((name for name in _HISTORY if row.get(name)), "history")
    turns = row.get(name) or ()
    if isinstance(turns, str):
        try:
            turns = listed(turns)
        except ValueError:
            turns = None
    if not isinstance(turns, list | tuple):
        raise RowError(f"{name} holds no list")
    for number, turn in enumerate(turns):
        where = f"{name}[{number}]"
        if isinstance(turn, Mapping):
            yield from read_messages([turn], where)
        elif isinstance(turn, list | tuple) and len(turn) == 2:
            yield from read_messages(turn, where)
        else:
            raise RowError(f"{name} holds no pairs", where)


def _single(row: Struct) -> Iterator[Message]:
    question = next((name for name in (*QUESTIONS, *_MATERIAL) if row.get(name)), None)
    answer = _answer_in(row, question)
    if not (question and answer) and (said := list(_written_down(row))):
        yield from said
        return
    if question and answer and isinstance(row[question], str) and (led := prompt_transcript(row[question])):
        yield from read_messages([{"role": role, "content": words} for role, words in led], question)
        if isinstance(row[answer], str):
            row = {**row, answer: without_ends(row[answer])}
    elif question and isinstance(row[question], list):  # messages that lead to an answer in messages
        yield from read_messages(row[question], question)
    elif question:
        parts = [text_of(row, question, "")]
        parts += [text_of(row, name, "") for name in _MATERIAL if name != question]
        choices = choices_of(row) if answer else {}
        if answer and choices and (line := chosen(row[answer], choices)) is not None:
            parts.append("\n".join(shown(parts[0], choices)))
            row = {**row, answer: line}
        yield Message("user", question, "\n\n".join(filter(None, map(trimmed, parts))))
    if answer:
        yield from _answers(row, answer)


def _answer_in(row: Struct, but: str | None, names: Iterable[str] = ANSWERS) -> str | None:
    """The column with the answer: the first one that holds text, or else a number. In other columns than `_BESIDE` a
    number is a score or a class."""
    found = [name for name in names if name != but and _is_answer(name, row.get(name))]
    return min(found, key=lambda name: is_number(row[name]), default=None)


def _is_answer(name: str, value: object) -> bool:
    return name in _BESIDE if is_number(value) else bool(value)


def _answers(row: Struct, answer: str) -> Iterator[Message]:
    """The messages in the column `answer`, after thoughts that stand beside it."""
    thoughts = (row[name] for name in THINK_FIELDS if isinstance(row.get(name), str))
    if think := next(filter(None, thoughts), ""):
        yield Message("assistant", answer, think=text_of({"think": think}, "think", ""))
    if is_number(row[answer]):
        yield Message("assistant", answer, json.dumps(row[answer]))
    elif answer == "answers" or _are_texts(row[answer]):
        yield Message("assistant", answer, _first_of(row[answer]))
    elif isinstance(row[answer], list):
        yield from read_messages(row[answer], answer)
    else:
        yield from read_messages([_answer(row[answer])], answer)


def _are_texts(value: object) -> bool:
    """Whether it is a list of texts and not of messages."""
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _answer(value: object) -> Struct:
    """An answer as a message: it may be one, or its text."""
    if isinstance(value, Mapping) and any(value.get(name) for name in ROLE_FIELDS):
        return value
    return {"role": "assistant", "content": value}


def _written_down(row: Struct) -> Iterator[Message]:
    """The messages of a chat that stands in one text."""
    for name in ("text", "chosen", *QUESTIONS, *MESSAGES):
        if isinstance(row.get(name), str) and (said := transcript(row[name])):
            yield from read_messages([{"role": role, "content": words} for role, words in said], name)
            return
    if row.get("text"):
        raise RowError("text is no transcript of a chat")


def _first_of(answers: object) -> str:
    """The first of several right answers: a list of texts, or a struct that holds it under `text`."""
    found = answers.get("text") if isinstance(answers, Mapping) else answers
    if isinstance(found, list | tuple):
        found = next(iter(found), None)
    return text_of({"answers": found}, "answers", "")


@dataclass
class _Turn:
    """Collects the messages of one interaction."""

    internal: list[str] = field(default_factory=list)
    query: list[str] = field(default_factory=list)
    tool_result: list[str] = field(default_factory=list)
    think: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    tool_call: list[str] = field(default_factory=list)
    is_trained: bool = True

    @property
    def is_opened(self) -> bool:
        return bool(self.internal or self.query or self.tool_result)

    @property
    def is_answered(self) -> bool:
        return bool(self.answer or self.tool_call)

    @property
    def interaction(self) -> Interaction:
        texts = {name: "\n\n".join(each) for name, each in vars(self).items() if name != "is_trained"}
        return Interaction(**texts) if self.is_trained else UntrainedInteraction(**texts)


def _turns(messages: Iterable[Message]) -> Iterator[Interaction]:
    turn, asked = _Turn(), False
    for message in messages:
        if message.role == "assistant":
            if not turn.is_opened or not asked:
                continue
            turn.think += [message.think] if message.think and message.think not in turn.think else []
            turn.answer += filter(None, [message.text])
            turn.tool_call += filter(None, [message.call])
            turn.is_trained &= message.is_trained
            continue
        if turn.is_answered:
            yield turn.interaction
            turn = _Turn()
        elif turn.think:
            raise RowError("thoughts without an answer", message.where)
        if message.role == "system":
            turn.internal += [message.text] if message.text not in turn.internal else []
            continue
        if turn.internal and not asked:
            yield turn.interaction
            turn = _Turn()
        asked = True
        (turn.query if message.role == "user" else turn.tool_result).append(message.text)
        if turn.query and turn.tool_result:
            raise RowError("a query and a tool result at once", message.where)
    if turn.is_answered:
        yield turn.interaction
