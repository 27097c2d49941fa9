"""The record schema that every source, generator and adapter speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "pl"]
Split = Literal["train", "validation", "test"]
LANGUAGES: tuple[Language, ...] = ("en", "pl")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


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
    """One query with its answer; the other parts are optional (`rxt` template)."""

    query: str
    answer: str
    internal: str = ""
    tool_result: str = ""
    think: str = ""
    tool_call: str = ""


@dataclass(frozen=True)
class Probe:
    """A question about memory inside a conversation.

    `turn` counts from 0; `gold` holds every accepted surface form; `forbidden` the values that would be wrong
    (older values of an updated fact first); `kind` is recall, update or unknown; `distance` counts interactions since
    the fact was last stated (0 for unknown); `facts` is how many facts the conversation held when it was asked.
    """

    turn: int
    slot: str
    kind: Literal["recall", "update", "unknown"]
    gold: tuple[str, ...]
    forbidden: tuple[str, ...]
    distance: int
    facts: int


@dataclass(frozen=True)
class Conversation:
    """Interactions in order, in one language, with what is asked about memory."""

    id: str
    language: Language
    source: str
    split: Split
    interactions: tuple[Interaction, ...]
    probes: tuple[Probe, ...] = ()
