"""One turn of a conversation in which the model may call tools.

An answer that ends in a call is not the end of the turn: the tool runs, its result is the next query, and so on until
an answer ends in no call. Memory is written while the tool runs, since every answer starts its write in the background.
Whoever holds a conversation, such as the chat, follows the protocol `Conversing`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from jobs.tools.toolbox import Toolbox, ToolResult
from tokenization.records import Interaction
from tokenization.tools.calls import CallError, ToolCall, read_calls

MOST_CALLS = 4  # in a turn
NO_MORE = "no more calls in this turn"
BETWEEN_RESULTS = "\n\n"  # of several calls at once, as data sets of chats are read


class Conversing(Protocol):
    """Holds one conversation, and writes every interaction to memory in the background."""

    @property
    def call(self) -> str | None:
        """The text of the call that the last answer ended in, or None."""
        ...

    def answer(self, said: str | Interaction) -> Generator[str]:
        """Pieces of the answer to a query, or to the query part of an interaction."""
        ...


@dataclass(frozen=True)
class SaidPiece:
    """A piece of an answer's text."""

    text: str


@dataclass(frozen=True)
class ToolCalled:
    """What an answer called: a call, or the text that is none."""

    call: ToolCall | str


@dataclass(frozen=True)
class ToolAnswered:
    """What the model is told of it, and with which query part."""

    results: tuple[ToolResult, ...]
    query: Interaction


@dataclass(frozen=True)
class CalledTooOften:
    """The turn has ended without an answer in words: the model called on after it was told that it may not."""


TurnEvent = SaidPiece | ToolCalled | ToolAnswered | CalledTooOften


def converse(speaker: Conversing, prompt: str, tools: Toolbox, most_calls: int = MOST_CALLS) -> Generator[TurnEvent]:
    """Yield what happens in a turn, as it happens. At most `most_calls` calls are run. The next one is told that there
    are no more, and one after that ends the turn. To close the generator ends the answer that is being made."""
    said: str | Interaction = prompt
    left = most_calls
    while True:
        with closing(speaker.answer(said)) as pieces:
            for text in pieces:
                yield SaidPiece(text)
        written = speaker.call
        if written is None:
            return
        if left < 0:
            yield CalledTooOften()
            return
        results = []
        for call in _calls(written):
            left -= 1
            yield ToolCalled(call if isinstance(call, ToolCall) else written)
            if left < 0:
                results.append(ToolResult.error(NO_MORE))
                break
            results.append(tools.run(call) if isinstance(call, ToolCall) else ToolResult.error(str(call)))
        query = Interaction("", "", tool_result=BETWEEN_RESULTS.join(result.text for result in results))
        yield ToolAnswered(tuple(results), query)
        said = query


def _calls(written: str) -> list[ToolCall] | list[CallError]:
    try:
        return read_calls(written)
    except CallError as error:
        return [error]
