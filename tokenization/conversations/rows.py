"""Turn rows into interactions whose schema names the parts of an interaction (`conversations.chat` reads the others).

Columns and fields that no adapter names are never read, so what identifies people (addresses, headers) stays where it
is. Fields may be missing, null or in any order: rows are mappings, and an absent part counts as empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
_NOT_SET = ("", "0", "0.0", "false", "no", "none", "null", "nan")  # as tables write it
_REGION = re.compile(r"[-_.@ (]")


class RowError(ValueError):
    """A row is no conversation. `reason` says why, `where` names the place in the row."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason, self.where = reason, where


def query_answer(row: Struct) -> list[Interaction]:
    """Read `query` and `answer`: a single interaction."""
    return [*system_prompt(row), _interaction(row, "")]


def first_turn_plus_interactions(row: Struct) -> list[Interaction]:
    """Read `query` and `answer` of the first turn, and all other turns from the list `interactions`."""
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
    region, as in `en-US` and `pl_PL`, does not count.

    Raises RowError for a language that the tokenizer was not made for.
    """
    lists = (row[column] for column in MESSAGES if isinstance(row.get(column), list | tuple))
    first = next((messages[0] for messages in lists if messages and isinstance(messages[0], Mapping)), {})
    named = (str(value).strip() for value in (row.get("lang"), row.get("language"), first.get("language")) if value)
    name = next(filter(None, named), default)
    language = LANGUAGE_NAMES.get(_REGION.split(name)[0].casefold())
    if language is None:
        raise RowError("another language", repr(name))
    return language


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


def refuse_flagged(struct: Struct, where: str) -> None:
    """Raise RowError for what is flagged as toxic or redacted."""
    for flag in _FLAGS:
        if str(struct.get(flag) or "").strip().casefold() not in _NOT_SET:
            raise RowError(flag, where)
