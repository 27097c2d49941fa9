"""Turn rows of conversation data sets into interactions, with one adapter per schema.

Columns and fields that no adapter names are never read, so what identifies people (addresses, headers) stays where it
is. Fields may be missing, null or in any order: rows are mappings, and an absent part counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from tokenization.quarantine import flaw
from tokenization.records import Interaction, Language, Preference

Struct = Mapping[str, Any]

LANGUAGE_NAMES: dict[str, Language] = {"en": "en", "english": "en", "pl": "pl", "polish": "pl"}
_QUERY_PART = frozenset({"query", "internal", "tool_response", "tool_use"})
_ANSWER_PART = frozenset({"think", "answer", "tool_call"})
_FLAGS = ("toxic", "redacted")


class RowError(ValueError):
    """A row is no conversation. `reason` says why, `where` names the place in the row."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason, self.where = reason, where


@dataclass(frozen=True)
class Adapter:
    """Turns rows of one schema into conversations. A file must have the columns `required`. `fields` names everything
    that is read: columns, and fields of the structs in them."""

    convert: Callable[[Struct], list[Interaction]]
    required: frozenset[str]
    fields: frozenset[str]


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


def role_messages(row: Struct) -> list[Interaction]:
    """Read messages with role (system, user, tool, assistant) and content from `conversation`.

    Raises RowError for what is flagged as toxic or redacted. A last question without an answer is left out.
    """
    turns: list[Interaction] = []
    opening: Interaction | None = None
    _refuse_flagged(row, "")
    for number, (message, where) in enumerate(_entries(row, "conversation")):
        _refuse_flagged(message, where)
        role, content = message.get("role"), _text(message, "content", where)
        if not content:
            raise RowError("an empty message", where)
        if role == "system" and number == 0:
            turns.append(Interaction("", "", internal=content))
        elif role in ("user", "tool") and opening is None:
            opening = Interaction(content, "") if role == "user" else Interaction("", "", tool_result=content)
        elif role == "assistant" and opening is not None:
            turns.append(replace(opening, answer=content))
            opening = None
        else:
            raise RowError("messages out of turn", where)
    if all(turn.is_system_prompt for turn in turns):
        raise RowError("no answers")
    return turns


def preference_pairs(row: Struct) -> list[Interaction]:
    """Return the conversation in which every answer is the accepted one of `preferences`."""
    return [*system_prompt(row), *(preference.accepted for preference in preferences(row))]


def preferences(row: Struct) -> list[Preference]:
    """Read the list `interactions` of query parts with `accepted`, `rejected` and perhaps `neutral` answer parts."""
    found = []
    for entry, where in _entries(row, "interactions"):
        query = {name: value for name, value in entry.items() if name in _QUERY_PART}
        answers = {}
        for name in ("accepted", "rejected", "neutral"):
            answer = entry.get(name) or {}
            if not isinstance(answer, Mapping):
                raise RowError(f"{name} holds {type(answer).__name__}, not a struct", where)
            # Arrow has a null for each field where a struct was left out
            if name != "neutral" or any(answer.get(part) for part in _ANSWER_PART):
                answers[name] = _interaction(query | dict(answer), f"{where}.{name}")
        if answers["accepted"] == answers["rejected"]:
            raise RowError("accepted and rejected are the same", where)
        found.append(Preference(**answers))
    if not found:
        raise RowError("no interactions")
    return found


def system_prompt(row: Struct) -> list[Interaction]:
    """Return the instruction in `system` as an interaction of its own, or no interaction if there is none."""
    text = _text(row, "system", "")
    return [Interaction("", "", internal=text)] if text else []


def language_of(row: Struct, default: Language) -> Language:
    """Return the language that `lang` or `language` of the row or of its first message names, else the source's.

    Raises RowError for a language that the tokenizer was not made for.
    """
    messages = row.get("conversation")
    first = messages[0] if isinstance(messages, Sequence) and messages and isinstance(messages[0], Mapping) else {}
    name = row.get("lang") or row.get("language") or first.get("language") or default
    if str(name).lower() not in LANGUAGE_NAMES:
        raise RowError("another language")
    return LANGUAGE_NAMES[str(name).lower()]


_OF_ROWS = frozenset({"system", "lang", "language"})
_PARTS = _QUERY_PART | _ANSWER_PART
ADAPTERS: dict[str, Adapter] = {
    "query_answer": Adapter(query_answer, frozenset({"query", "answer"}), _OF_ROWS | _PARTS),
    "first_turn_plus_interactions": Adapter(
        first_turn_plus_interactions,
        frozenset({"query", "answer", "interactions"}),
        _OF_ROWS | _PARTS | {"interactions"},
    ),
    "interactions": Adapter(interactions, frozenset({"interactions"}), _OF_ROWS | _PARTS | {"interactions"}),
    "role_messages": Adapter(
        role_messages, frozenset({"conversation"}), _OF_ROWS | {"conversation", "role", "content", *_FLAGS}
    ),
    "preference_pairs": Adapter(
        preference_pairs,
        frozenset({"interactions"}),
        _OF_ROWS | _PARTS | {"interactions", "accepted", "rejected", "neutral"},
    ),
}


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
    parts = {name: _text(struct, name, where) for name in ("query", "answer", "internal", "think", "tool_call")}
    results = {_text(struct, name, where) for name in ("tool_response", "tool_use")} - {""}
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


def _text(struct: Struct, name: str, where: str) -> str:
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


def _refuse_flagged(struct: Struct, where: str) -> None:
    for flag in _FLAGS:
        if struct.get(flag):
            raise RowError(flag, where)
