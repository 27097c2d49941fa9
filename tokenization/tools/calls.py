"""Calls of tools, as a model writes them after `[C]`: one JSON object per call, `{"name": …, "arguments": {…}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

CALCULATOR, LOOK_UP = "calculator", "look_up"
ARGUMENTS: Mapping[str, str] = {CALCULATOR: "expression", LOOK_UP: "query"}  # the only argument of each, a text
ERROR = "error: "  # how a result begins that is none
NOTHING_FOUND = "nothing found"
_FIELDS = {"name", "arguments"}


class CallError(ValueError):
    """A call that cannot be run. The message says why, in words for the model."""


@dataclass(frozen=True)
class ToolCall:
    """The name of a tool, and the text that it is called with."""

    name: str
    argument: str

    @property
    def written(self) -> str:
        """The call as JSON, in the spelling of `conversations.messages`."""
        arguments = {ARGUMENTS[self.name]: self.argument}
        return json.dumps({"name": self.name, "arguments": arguments}, ensure_ascii=False)


def read_calls(text: str) -> list[ToolCall]:
    """Read one or more calls, with white space between them. Nothing is guessed or repaired.

    Raises CallError for text that is not JSON, keys that are missing, unknown or twice there, a tool that does not
    exist, and arguments that it does not take.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
    calls: list[ToolCall] = []
    rest = text.strip()
    while rest or not calls:
        try:
            value, end = decoder.raw_decode(rest)
        except CallError:
            raise
        except RecursionError as error:
            raise CallError("the call is not JSON: nested too deeply") from error
        except ValueError as error:  # also of a number with more digits than Python reads
            why = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
            raise CallError(f"the call is not JSON: {why}") from error
        calls.append(_call(value))
        rest = rest[end:].lstrip()
    return calls


def _call(value: Any) -> ToolCall:
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise CallError("a call is an object with name and arguments")
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or name not in ARGUMENTS:
        raise CallError(f"there is no tool {name!r:.40}")
    wanted = ARGUMENTS[name]
    if not isinstance(arguments, dict) or set(arguments) != {wanted} or not isinstance(arguments[wanted], str):
        raise CallError(f"{name} takes one text: {wanted}")
    return ToolCall(name, arguments[wanted])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise CallError("a key is twice in the call")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise CallError(f"the call is not JSON: {name}")
