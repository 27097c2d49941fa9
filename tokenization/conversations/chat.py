"""Turn chats into interactions, whatever schema they have: a list of messages, or one question with its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tokenization.conversations.messages import ANSWERS, QUESTIONS, Message, read_messages
from tokenization.conversations.messages import FIELDS as MESSAGE_FIELDS
from tokenization.conversations.rows import MESSAGES, RowError, Struct, refuse_flagged, text_of
from tokenization.records import Interaction

_MATERIAL = ("input", "context")  # what an instruction is about
_SYSTEM = ("system", "system_prompt")
COLUMNS = frozenset({*MESSAGES, *ANSWERS})  # a row of this schema has one of them
FIELDS = MESSAGE_FIELDS | {*MESSAGES, *_MATERIAL, *_SYSTEM, "history", "lang"}


def chat(row: Struct) -> list[Interaction]:
    """Read the messages of a row (`MESSAGES` names the columns), or its question and its answer.

    Messages of one speaker in a row become one, with an empty line between them. System messages at the beginning
    are the system prompt; a later one is the instruction of the next interaction. What the assistant says before
    anybody asked, and a last question without an answer, are left out. Raises RowError for what is no chat, and for
    what is flagged as toxic or redacted.
    """
    refuse_flagged(row, "")
    messages = [*_system(row), *_history(row)]
    column = next((name for name in MESSAGES if _is_list(row.get(name))), None)
    messages += read_messages(row[column], column) if column else _single(row)
    turns = list(_turns(messages))
    if all(turn.is_system_prompt for turn in turns):
        raise RowError("no answers" if messages else "no messages")
    return turns


def _is_list(value: object) -> bool:
    """Whether a column may hold messages. Some have metadata under the same names."""
    return isinstance(value, str) and value.lstrip().startswith("[") or isinstance(value, list | tuple) and bool(value)


def _system(row: Struct) -> Iterator[Message]:
    for name in _SYSTEM:
        if text := text_of(row, name, ""):
            yield Message("system", name, text)
    if tools := row.get("tools"):
        yield Message("system", "tools", tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False))


def _history(row: Struct) -> Iterator[Message]:
    """Earlier turns beside an instruction, as lists of a question and its answer."""
    for number, pair in enumerate(row.get("history") or ()):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RowError("history holds no pairs", f"history[{number}]")
        yield from read_messages(pair, f"history[{number}]")


def _single(row: Struct) -> Iterator[Message]:
    question = next((name for name in (*QUESTIONS, *_MATERIAL) if row.get(name)), None)
    answer = next((name for name in ANSWERS if row.get(name) and name != question), None)
    if question and isinstance(row[question], list):  # messages that lead to an answer in messages
        yield from read_messages(row[question], question)
    elif question:
        parts = [text_of(row, question, "")]
        parts += [text_of(row, name, "") for name in _MATERIAL if name != question]
        yield Message("user", question, "\n\n".join(filter(None, parts)))
    if answer and isinstance(row[answer], list):
        yield from read_messages(row[answer], answer)
    elif answer:
        yield from read_messages([{"role": "assistant", "content": row[answer]}], answer)


@dataclass
class _Turn:
    """Collects the messages of one interaction."""

    internal: list[str] = field(default_factory=list)
    query: list[str] = field(default_factory=list)
    tool_result: list[str] = field(default_factory=list)
    think: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    tool_call: list[str] = field(default_factory=list)

    @property
    def is_opened(self) -> bool:
        return bool(self.internal or self.query or self.tool_result)

    @property
    def is_answered(self) -> bool:
        return bool(self.answer or self.tool_call)

    @property
    def interaction(self) -> Interaction:
        return Interaction(**{name: "\n\n".join(texts) for name, texts in vars(self).items()})


def _turns(messages: Iterable[Message]) -> Iterator[Interaction]:
    turn, asked = _Turn(), False
    for message in messages:
        if message.role == "assistant":
            if not turn.is_opened or not asked:
                continue
            turn.think += filter(None, [message.think])
            turn.answer += filter(None, [message.text])
            turn.tool_call += filter(None, [message.call])
            continue
        if turn.is_answered:
            yield turn.interaction
            turn = _Turn()
        elif turn.think:
            raise RowError("thoughts without an answer", message.where)
        if message.role == "system":
            turn.internal.append(message.text)
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
