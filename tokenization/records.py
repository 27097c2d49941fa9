"""The records that every source, generator and adapter produces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Language = Literal["en", "pl"]
Split = Literal["train", "validation", "test"]
LANGUAGES: tuple[Language, ...] = ("en", "pl")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ProbeKind = Literal["recall", "update", "unknown"]
ProbeTag = Literal["", "never-told", "told-later", "somebody-else", "retracted", "join", "two-facts"]
Generator = Literal["templates", "broad"]
BROAD: Generator = "broad"  # also the source of its conversations
ShardRow = dict[str, Any]  # in the schema of its kind of shard (`shards.schema`)


@dataclass(frozen=True)
class Document:
    """Plain text and where it comes from. `id` is stable: the same text of the same source has the same id."""

    id: str
    text: str
    language: Language
    source: str
    licence: str
    split: Split


@dataclass(frozen=True)
class Interaction:
    """One query with its answer. The other parts are optional. It begins with a query or with a tool result, never with
    both. If only `internal` is set, it is a system prompt. `conversations.template` writes it as ids."""

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
        """Whether it holds only an instruction. An instruction is written to memory, and no loss is taken on it."""
        return bool(self.internal) and not (
            self.query or self.answer or self.tool_result or self.think or self.tool_call
        )


@dataclass(frozen=True)
class InteractionInMode(Interaction):
    """An interaction in which whoever asks has said whether to think first. So the control token that opens the answer
    part was not chosen, and is no target of training."""


@dataclass(frozen=True)
class Preference:
    """One interaction with two or three answers to choose between, all to the same query part."""

    accepted: Interaction
    rejected: Interaction
    neutral: Interaction | None = None


@dataclass(frozen=True)
class Probe:
    """A question about memory inside a conversation.

    `turn` counts from 0. `gold` holds every accepted answer, in all its forms. `forbidden` holds wrong values, older
    values of an updated fact first. `kind` is recall, update or unknown. `distance` counts interactions since the fact
    was last stated (0 for unknown). `facts` is the number of facts the conversation held when the question was asked.
    `tag` adds to `kind` why the answer is unknown, or that it needs two facts; then `distance` counts from the earlier
    fact. A `join` has one answer from two facts. `two-facts` are two questions at once: `gold` holds a value of each,
    and both must be answered. `slot` is the kind of fact; the broad generator writes `broad/` and the kind of value.
    """

    turn: int
    slot: str
    kind: ProbeKind
    gold: tuple[str, ...]
    forbidden: tuple[str, ...]
    distance: int
    facts: int
    tag: ProbeTag = ""

    @property
    def generator(self) -> Generator:
        """Whose conversation asks this."""
        return BROAD if self.slot.startswith(f"{BROAD}/") else "templates"


@dataclass(frozen=True)
class Conversation:
    """Interactions in order, in one language, with the questions that probe memory. `rejected` may have for each
    interaction a worse one, to the same query part, or None."""

    id: str
    language: Language
    source: str
    split: Split
    interactions: tuple[Interaction, ...]
    probes: tuple[Probe, ...] = ()
    rejected: tuple[Interaction | None, ...] = ()
