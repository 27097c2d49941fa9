"""Read messages as data sets write them: a role under any usual name, content as text or in parts, thoughts, and calls
and results of tools.

Sources of the names: the chat formats of OpenAI, Anthropic and Hugging Face's TRL, ShareGPT, OpenAssistant, Hermes and
LLaMA-Factory.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

from tokenization.conversations.rows import (
    FALSE,
    PICTURES,
    REMOVED,
    RowError,
    Struct,
    listed,
    refuse_flagged,
    refuse_pictures,
    text_of,
    word,
)
from tokenization.conversations.transcripts import trimmed

MessageRole = Literal["system", "user", "assistant", "tool"]

_NAMES: dict[MessageRole, str] = {
    "system": "system developer sys context",
    "user": "user human prompter person customer client usr questioner użytkownik",
    "assistant": "assistant gpt chatgpt bot chatbot model ai llm bard bing claude agent asystent "
    "function_call tool_call",
    "tool": "tool function observation ipython environment tool_response tool_result tool_output function_response "
    "function_result",
}
ROLES: dict[str, MessageRole] = {name: role for role, names in _NAMES.items() for name in names.split()}
QUESTIONS = ("instruction", "prompt", "question", "query", "problem", "user", "human", "message", "inputs", "pytanie",
             "polecenie", "instrukcja")  # fmt: skip
ANSWERS = ("completion", "response", "output", "answer", "assistant", "gpt", "bot", "chosen", "targets", "target",
           "answers", "solution", "odpowiedź", "odpowiedz", "wyjście")  # fmt: skip
_CALLS = ("function_call", "tool_call")  # roles of an assistant that calls a tool

ROLE_FIELDS = ("role", "from", "speaker", "author", "sender")
_CONTENT_FIELDS = ("content", "value", "text", "message", "utterance", "parts")
THINK_FIELDS = ("reasoning_content", "thinking", "reasoning", "think")
_TEXT_PARTS = ("text", "input_text", "output_text")
_TRAINED = ("weight", "train", "training", "trainable", "loss")  # false if an answer is not to be trained on
_GEMINI = ("functionCall", "functionResponse")
FIELDS_OF_MESSAGES = frozenset({*ROLE_FIELDS, *_CONTENT_FIELDS, *THINK_FIELDS, *QUESTIONS, *ANSWERS})
# Everything below these is read, since tools have arguments of any name.
WHOLE = frozenset({"arguments", "parameters", "input", "tools", "functions", "functionCall", "functionResponse"})
FIELDS = (
    WHOLE
    | {*QUESTIONS, *ANSWERS, "system", *ROLE_FIELDS, *_CONTENT_FIELDS, *THINK_FIELDS, "language", "toxic", "redacted"}
    | {"type", "tool_calls", "function_call", "function", "name"}
    | {*_TRAINED, *PICTURES, "path"}
    | {"element", "item"}  # Parquet's names for the values of a list
)

_THOUGHT = re.compile(r"\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>\s*|$)", re.DOTALL)
# Some templates put the opening tag into the prompt.
_UNOPENED = re.compile(r"((?:(?!<think).)*?)(?:\n\s*</think(?:ing)?>\s*|</think(?:ing)?>[ ]*\n\s*)", re.DOTALL)
_CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*</tool_call>\s*", re.DOTALL)
_RESULT = re.compile(r"\s*</?tool_response>\s*")
_PLACE = re.compile(r"<\|(?:image|video|audio|vision)\w*\|>|!\[[^\]\n]*\]\(attachment:", re.IGNORECASE)
# Pages have these tags, too. What a user says has them in place of a picture at its beginning, at its end, or in a line
# of their own, unless it closes or quotes them.
_TAG = re.compile(
    r"\A\s*<(image|video|audio)>|^[ \t]*<(image|video|audio)>[ \t]*$|<(image|video|audio)>\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Message:
    """What one of the four said, and where it stands in the row. `think` and `call` belong to the assistant alone, and
    it alone may say what `is_trained` on or not."""

    role: MessageRole
    where: str
    text: str = ""
    think: str = ""
    call: str = ""
    is_trained: bool = True

    @property
    def has_a_place(self) -> bool:
        """Whether a picture, a video or a sound is to stand somewhere in the text."""
        if self.role == "assistant":
            return False
        tag = _TAG.search(self.text) if self.role == "user" else None
        return bool(_PLACE.search(self.text) or (tag and f"</{tag[tag.lastindex or 0]}>" not in self.text))


def read_messages(value: object, column: str) -> Iterator[Message]:
    """Yield the messages of a column: a list of structs with a role, of structs with a question and its answer, or of
    texts by user and assistant in turn. A column may hold such a list as text (`rows.listed`), or a struct of lists in
    its place. A last message that is empty is left out. Raises RowError."""
    if isinstance(value, str):
        try:
            value = listed(value)
        except ValueError:
            raise RowError(f"{column} holds text, not a list") from None
    if is_table(value):
        value = _rows(value, column)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise RowError(f"{column} holds {type(value).__name__}, not a list")
    for number, entry in enumerate(value):
        where = f"{column}[{number}]"
        if isinstance(entry, str):
            yield from _said("user" if number % 2 == 0 else "assistant", entry, where)
        elif isinstance(entry, list | tuple) and len(entry) == 2 and str(entry[0]).casefold() in ROLES:
            yield from _message({"role": entry[0], "content": entry[1]}, where)
        elif not isinstance(entry, Mapping):
            raise RowError(f"{column} holds {type(entry).__name__}, not messages", where)
        elif any(entry.get(name) is not None for name in ROLE_FIELDS):
            said = list(_message(entry, where))
            if not said and _role(entry)[1] != "system" and not (0 < number == len(value) - 1):
                raise RowError("an empty message", where)
            is_trained = not any(word(entry.get(name)) in FALSE for name in _TRAINED)
            yield from (replace(one, is_trained=is_trained) for one in said)
        else:
            yield from _pair(entry, where)


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a struct of lists, one for each field of messages."""
    names = (*ROLE_FIELDS, *QUESTIONS)
    return isinstance(value, Mapping) and any(isinstance(value.get(name), list | tuple) for name in names)


def _rows(table: Mapping[str, Any], column: str) -> list[Struct]:
    fields = {name: values for name, values in table.items() if values is not None}
    if len({len(values) if isinstance(values, list | tuple) else -1 for values in fields.values()}) != 1:
        raise RowError(f"{column} holds lists that are not of one length")
    return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]


def is_message(row: Struct) -> bool:
    """Whether a row is one message, of a known role."""
    return _role(row)[1] is not None


def is_result(entry: Struct, name: str) -> bool:
    """Whether a field of a message holds what a tool returned, as a struct with fields of any name."""
    return name in _CONTENT_FIELDS and isinstance(entry[name], Mapping) and _role(entry)[1] == "tool"


def _role(entry: Struct) -> tuple[str, MessageRole | None]:
    """The role as it is written, in lower case, and the usual one for it."""
    name = _first(entry, ROLE_FIELDS)
    if isinstance(name, Mapping):  # an author with a name, a role and more
        name = _first(name, ROLE_FIELDS)
    name = re.sub(r"[\s-]+", "_", name.strip().casefold()) if isinstance(name, str) else ""
    return name, ROLES.get(name) or ("assistant" if name.startswith(("gpt", "chatgpt")) else None)


def _message(entry: Struct, where: str) -> Iterator[Message]:
    refuse_flagged(entry, where)
    refuse_pictures(entry, where)
    name, role = _role(entry)
    if role is None:
        raise RowError("an unknown role", f"{where}, {_first(entry, ROLE_FIELDS)!r}")
    content = _first(entry, _CONTENT_FIELDS)
    if name in _CALLS:
        yield Message(role, where, call=_as_text(content))
        return
    if role == "tool" and not isinstance(content, str | Sequence):
        content = _as_text(content)
    think = next(filter(None, (text_of(entry, field, where) for field in THINK_FIELDS)), "")
    calls = "\n".join(_calls(entry, where))
    said = list(_said(role, content, where))
    if think or calls:
        said.append(Message(role, where, think=think, call=calls))
    yield from said


def _pair(entry: Struct, where: str) -> Iterator[Message]:
    """A question with its answer, each under a name of its role, as in `{"human": …, "assistant": …}`."""
    asked, answered = _first(entry, (*QUESTIONS, "input")), _first(entry, ANSWERS)
    if asked is None or answered is None:
        raise RowError("a message without a role", where)
    yield from _said("system", entry.get("system"), where)
    yield from _said("user", asked, where)
    yield from _said("assistant", answered, where)


def _said(role: MessageRole, content: object, where: str) -> Iterator[Message]:
    """The messages in a content. Calls, results and thoughts among its parts become messages of their own."""
    if isinstance(content, str):
        yield from _text(role, content, where)
        return
    parts = content if isinstance(content, Sequence) else [] if content is None else [content]
    for number, part in enumerate(parts):
        place = f"{where}.content[{number}]"
        if isinstance(part, str):
            yield from _text(role, part, place)
            continue
        if not isinstance(part, Mapping):
            raise RowError("content that is no text", f"{place} holds {type(part).__name__}")
        match part.get("type") or next((kind for kind in _GEMINI if part.get(kind)), "text"):
            case "functionCall":
                yield Message("assistant", place, call=_call(part["functionCall"], place))
            case "functionResponse":
                yield Message("tool", place, _as_text(_first(part["functionResponse"], ("response", "output"))))
            case kind if kind in _TEXT_PARTS:
                yield from _text(role, _first(part, _CONTENT_FIELDS), place)
            case "thinking" | "reasoning":
                yield Message("assistant", place, think=_as_text(_first(part, (*THINK_FIELDS, *_CONTENT_FIELDS))))
            case "tool_use" | "tool_call" | "function_call":
                yield Message("assistant", place, call=_call(part, place))
            case "tool_result" | "function_call_output":
                yield from _said("tool", _first(part, (*_CONTENT_FIELDS, "output")), place)
            case kind:
                raise RowError("content that is no text", f"{place} is of type {kind!r}")


def _text(role: MessageRole, value: object, where: str) -> Iterator[Message]:
    text = trimmed(text_of({"content": value}, "content", where))
    text = "" if word(text) in REMOVED else text
    think, calls = "", ()
    if role == "assistant":
        if thought := _THOUGHT.match(text) or ("</think" in text and _UNOPENED.match(text)):
            think, text = thought[1].strip(), text[thought.end() :]
        calls = _CALL.findall(text)
        text = _CALL.sub("\n", text).strip() if calls else text
    elif role == "tool":
        text = _RESULT.sub("", text) if "tool_response>" in text else text
    if text or think or calls:
        yield Message(role, where, text, think, "\n".join(calls))


def _calls(entry: Struct, where: str) -> Iterator[str]:
    calls = entry.get("tool_calls") or []
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except ValueError:
            raise RowError("tool_calls hold text that is not JSON", where) from None
    if not isinstance(calls, Sequence):
        raise RowError(f"tool_calls hold {type(calls).__name__}, not a list", where)
    for call in [*calls, *filter(None, [entry.get("function_call")])]:
        yield _call(call, where)


def _call(call: object, where: str) -> str:
    """One call as JSON: `{"name": …, "arguments": …}`."""
    if isinstance(call, Mapping):
        call = call.get("function") or call
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        raise RowError("a tool call without a name", where)
    arguments = _first(call, ("arguments", "input", "parameters", "args"))
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):  # some models write what is no JSON, and that is what they said
            arguments = json.loads(arguments)
    text = _as_text({"name": call["name"], "arguments": {} if arguments is None else arguments})
    return text_of({"tool call": text}, "tool call", where)


def _as_text(value: Any) -> str:
    """Text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(_without_nulls(value), ensure_ascii=False, default=str)


def _without_nulls(value: Any) -> Any:
    """Arrow gives every struct of a column the fields of all, so most are null."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _first(struct: Struct, names: Sequence[str]) -> Any:
    return next((struct[name] for name in names if struct.get(name) is not None), None)
