"""The record schema that every source, generator and adapter speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Language = Literal["en", "pl"]
Split = Literal["train", "validation", "test"]
LANGUAGES: tuple[Language, ...] = ("en", "pl")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ShardRow = dict[str, Any]  # in the schema of its kind of shard (`shards.schema`)


@dataclass(frozen=True)
class Document:
    """Plain text with its provenance. `id` is stable: the same text of the same source has the same id."""

    id: str
    text: str
    language: Language
    source: str
    licence: str
    split: Split


@dataclass(frozen=True)
class Interaction:
    """One query with its answer; the other parts are optional (`rxt` template). It begins with a query or with a tool
    result, never with both. With `internal` alone it is a system prompt."""

    query: str
    answer: str
    internal: str = ""
    tool_result: str = ""
    think: str = ""
    tool_call: str = ""

    def __post_init__(self) -> None:
        if self.query and self.tool_result:
            raise ValueError("an interaction has both a query and a tool result: which does it begin with?")

    @property
    def is_system_prompt(self) -> bool:
        """Whether there is nothing in it but an instruction: it is written to memory, and nothing is learned in it."""
        return bool(self.internal) and not (
            self.query or self.answer or self.tool_result or self.think or self.tool_call
        )


@dataclass(frozen=True)
class Preference:
    """One interaction with answers to choose between; all three have the same query part."""

    accepted: Interaction
    rejected: Interaction
    neutral: Interaction | None = None


@dataclass(frozen=True)
class Probe:
    """A question about memory inside a conversation.

    `turn` counts from 0; `gold` holds every accepted surface form; `forbidden` the values that would be wrong
    (older values of an updated fact first); `kind` is recall, update or unknown; `distance` counts interactions since
    the fact was last stated (0 for unknown); `facts` is how many facts the conversation held when it was asked.
    `tag` tells apart what `kind` does not: why the answer is unknown, and what needs two facts (there `distance` counts
    from the earlier one).
    """

    turn: int
    slot: str
    kind: Literal["recall", "update", "unknown"]
    gold: tuple[str, ...]
    forbidden: tuple[str, ...]
    distance: int
    facts: int
    tag: Literal["", "never-told", "told-later", "somebody-else", "join"] = ""


@dataclass(frozen=True)
class Conversation:
    """Interactions in order, in one language, with what is asked about memory."""

    id: str
    language: Language
    source: str
    split: Split
    interactions: tuple[Interaction, ...]
    probes: tuple[Probe, ...] = ()
