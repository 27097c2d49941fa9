"""Turn rows into interactions whose schema names the parts of an interaction (`conversations.chat` reads the others).

Columns and fields that no adapter names are never read, so what identifies people (addresses, headers) stays where it
is. Fields may be missing, null or in any order: rows are mappings, and an absent part counts as empty.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tokenization.quarantine import flaw
from tokenization.records import Interaction, Language, Preference

Struct = Mapping[str, Any]

MESSAGES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns", "utterances",
            "contents", "data", "chosen")  # fmt: skip
"""Columns with the messages of a chat, the most usual first."""
LANGUAGE_NAMES: dict[str, Language] = {
    **dict.fromkeys(("en", "eng", "english", "angielski"), "en"),
    **dict.fromkeys(("pl", "pol", "polish", "polski"), "pl"),
}
QUERY_PART = frozenset({"query", "internal", "tool_response", "tool_use"})
ANSWER_PART = frozenset({"think", "answer", "tool_call"})
_FLAGS = ("toxic", "redacted")
PICTURES = ("image", "images", "video", "videos", "audio", "audios")
MISSING = ("", "none", "null", "nan")  # as tables write it, like the next ones
FALSE = ("false", "0", "0.0", "no")
NOT_SET = (*MISSING, *FALSE)
REMOVED = ("[deleted]", "[removed]")  # of Reddit
_ABSENT = frozenset(("nan", "NaN", "NULL", "null", "None", "N/A", "n/a", "#N/A", "<NA>"))
_NO_ANSWER = frozenset(("nan", "#N/A", "<NA>"))  # the others may be answers
_NO_INPUT = ("<noinput>", "<no input>", "noinput", "no input")  # of Alpaca
_REGION = re.compile(r"[-_.@ (]")
_BEFORE_A_LANGUAGE = re.compile(r"^(?:__label__|język\s+)", re.IGNORECASE)
_OF_NO_LANGUAGE = frozenset(
    "unknown und undefined undetermined unspecified none null nan n/a zxx code text plain plaintext txt markdown json "
    "yaml xml html css sql python python3 py java javascript js typescript c c++ cpp c# csharp f# go golang rust ruby "
    "rb php perl r julia kotlin swift scala lua matlab octave haskell bash shell powershell dart elixir erlang clojure "
    "lisp scheme fortran cobol assembly solidity verilog vhdl latex tex jsx tsx vue jupyter cuda groovy objective "
    "ocaml zig".split()
)
"""What columns of these names have in place of a language that people speak."""
_LONGEST_LITERAL = 1 << 20  # characters of Python, which needs a hundred times the memory


@dataclass(frozen=True)
class UntrainedInteraction(Interaction):
    """An interaction whose answer is not to be trained on, as its data set says. It is written to memory, and none of
    it is a target."""


class RowError(ValueError):
    """A row is no conversation. `reason` says why, `where` names the place in the row."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason, self.where = reason, where


def query_answer(row: Struct) -> list[Interaction]:
    """Read `query` and `answer`: a single interaction."""
    row = present(row, ("answer",))
    return [*system_prompt(row), _interaction(row, "")]


def first_turn_plus_interactions(row: Struct) -> list[Interaction]:
    """Read `query` and `answer` of the first turn, and all other turns from the list `interactions`."""
    row = present(row, ("answer",))
    followers = [_interaction(*entry) for entry in _entries(row, "interactions")]
    return [*system_prompt(row), _interaction(row, ""), *followers]


def interactions(row: Struct) -> list[Interaction]:
    """Read all turns from the list `interactions`. Each has any of query, think, answer, tool_call, tool_response and
    internal; `tool_use` is another name for tool_response. Raises RowError for a row without interactions."""
    turns = [_interaction(*entry) for entry in _entries(row, "interactions")]
    if not turns:
        raise RowError("no interactions")
    return [*system_prompt(row), *turns]


def preference_pairs(row: Struct) -> list[Interaction]:
    """Return the conversation in which every answer is the accepted one of `preferences`."""
    return [*system_prompt(row), *(preference.accepted for preference in preferences(row))]


def rejected_answers(row: Struct) -> list[Interaction | None]:
    """Return for each interaction of `preference_pairs` the one with the rejected answer; None for an instruction."""
    return [*(None for _ in system_prompt(row)), *(preference.rejected for preference in preferences(row))]


def preferences(row: Struct) -> list[Preference]:
    """Read the list `interactions` of query parts with `accepted`, `rejected` and perhaps `neutral` answer parts."""
    found = []
    for entry, where in _entries(row, "interactions"):
        query = {name: value for name, value in entry.items() if name in QUERY_PART}
        answers = {}
        for name in ("accepted", "rejected", "neutral"):
            answer = entry.get(name) or {}
            if not isinstance(answer, Mapping):
                raise RowError(f"{name} holds {type(answer).__name__}, not a struct", where)
            # Arrow has a null for each field where a struct was left out
            if name != "neutral" or any(answer.get(part) for part in ANSWER_PART):
                answers[name] = _interaction(query | dict(answer), f"{where}.{name}")
        if answers["accepted"] == answers["rejected"]:
            raise RowError("accepted and rejected are the same", where)
        found.append(Preference(**answers))
    if not found:
        raise RowError("no interactions")
    return found


def system_prompt(row: Struct) -> list[Interaction]:
    """Return the instruction in `system` as an interaction of its own, or no interaction if there is none."""
    text = text_of(row, "system", "")
    return [Interaction("", "", internal=text)] if text else []


def language_of(row: Struct, default: Language) -> Language:
    """Return the language that `lang` or `language` of the row or of its first message names, else the source's. A
    region, as in `en-US` and `pl_PL`, does not count, nor does a language of programs.

    Raises RowError for a language that the tokenizer was not made for.
    """
    lists = (row[column] for column in MESSAGES if isinstance(row.get(column), list | tuple))
    first = next((messages[0] for messages in lists if messages and isinstance(messages[0], Mapping)), {})
    for name in (*_named(row.get("lang")), *_named(row.get("language")), *_named(first.get("language"))):
        word = _REGION.split(_BEFORE_A_LANGUAGE.sub("", name))[0].casefold()
        if word in LANGUAGE_NAMES:
            return LANGUAGE_NAMES[word]
        if word and word not in _OF_NO_LANGUAGE:
            raise RowError("another language", repr(name))
    return default


def _named(value: object) -> list[str]:
    """The names in a value: in a list, or in one that stands in a text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = listed(value)
        except ValueError:
            return [value]
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each).strip() for each in values if each]


def _entries(row: Struct, column: str) -> Iterator[tuple[Struct, str]]:
    """Yield the structs of a list column, each with its place."""
    entries = row.get(column)
    if entries is None:
        return
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise RowError(f"{column} holds {type(entries).__name__}, not a list")
    for number, entry in enumerate(entries):
        where = f"{column}[{number}]"
        if not isinstance(entry, Mapping):
            raise RowError(f"{column} holds {type(entry).__name__}, not structs", where)
        yield entry, where


def _interaction(struct: Struct, where: str) -> Interaction:
    parts = {name: text_of(struct, name, where) for name in ("query", "answer", "internal", "think", "tool_call")}
    results = {text_of(struct, name, where) for name in ("tool_response", "tool_use")} - {""}
    if len(results) > 1:
        raise RowError("tool_response and tool_use differ", where)
    result = next(iter(results), "")
    if parts["query"] and result:
        raise RowError("a query and a tool result at once", where)
    if not (parts["query"] or result or parts["internal"]):
        raise RowError("no query", where)
    if not (parts["answer"] or parts["tool_call"]):
        raise RowError("no answer", where)
    return Interaction(**parts, tool_result=result)


def text_of(struct: Struct, name: str, where: str) -> str:
    """Return the text of a field, or an empty text if it is missing, null or blank."""
    value = struct.get(name)
    match flaw(value):
        case None:
            return cast("str", value)
        case "null" | "empty", _:
            return ""
        case "not text", kind:
            raise RowError(f"{name} holds {kind}, not text", where)
        case reason, detail:
            raise RowError(reason, f"{where}.{name}, {detail}".lstrip("."))


def listed(text: str) -> Any:
    """Return the value that a text holds as JSON, or as Python writes it, which is how pandas puts lists into a table.
    Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        if len(text) > _LONGEST_LITERAL:
            raise
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("neither JSON nor a value of Python") from error


def present(row: Struct, answers: Collection[str]) -> Struct:
    """Return the row with null for each text that only says that there is none. In the columns `answers` fewer do."""
    return {
        name: None if isinstance(value, str) and _is_absent(value.strip(), name in answers) else value
        for name, value in row.items()
    }


def _is_absent(text: str, is_answer: bool) -> bool:
    return text in (_NO_ANSWER if is_answer else _ABSENT) or text.casefold() in (*REMOVED, *_NO_INPUT)


def word(value: object) -> str:
    """Return a flag, a rank or an id as the tables of all formats have it: CSV has only text."""
    return str(value).strip().casefold()


def is_number(value: object) -> bool:
    """Whether it is a number or true or false, and not NaN."""
    return isinstance(value, bool | int | float) and value == value


def refuse_pictures(struct: Struct, where: str) -> None:
    """Raise RowError for a row or a message with a picture, a video or a sound beside the text."""
    for name in PICTURES:
        value = struct.get(name)
        if any(map(_is_medium, value)) if isinstance(value, list | tuple) else _is_medium(value):
            raise RowError("a picture, a video or a sound", f"{where}.{name}".lstrip("."))


def _is_medium(value: object) -> bool:
    """Whether it may be a picture or where one lies. A number counts some."""
    if isinstance(value, str):
        return word(value) not in (*NOT_SET, "[]", "{}", "n/a")
    return isinstance(value, bytes | Mapping | list | tuple) and bool(value)


def refuse_flagged(struct: Struct, where: str) -> None:
    """Raise RowError for what is flagged as toxic or redacted."""
    for flag in _FLAGS:
        if word(struct.get(flag) or "") not in NOT_SET:
            raise RowError(flag, where)
