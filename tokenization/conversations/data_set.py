"""The settings of a data set of conversations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenization.cleaning.pii import Pii
from tokenization.conversations.adapters import ADAPTERS, FIELDS, WHOLE
from tokenization.settings import Settings, require, require_fractions
from tokenization.sources.source import Columns, Files


@dataclass(frozen=True, kw_only=True)
class ConversationSource(Files, Settings):
    """One data set of conversations. Of conversations with the same words, only the first of all sources counts.

    `kind`: `files` or `hub`. `adapter`: the schema of the rows (`conversations.adapters`); if it is empty, the first
    rows tell. `language`: that of rows which do not name theirs. `split`: either `hash`, which chooses by a hash of the
    conversation, or the one split for the whole data set. `weight`: how often each conversation is trained on; a hash
    decides which conversations a fraction chooses, and a data set of weight 0 is not read. `long_answers`: one that
    does not fit is cut, or goes on in further interactions with the same query
    (`conversations.template.encode_windows`). `mask` replaces what identifies people (`cleaning.pii`), which is counted
    in any case.
    """

    kind: Literal["files", "hub"]
    adapter: str = ""
    split: Literal["hash", "train", "validation", "test"] = "hash"
    validation_fraction: float = 0.02
    test_fraction: float = 0.02
    weight: float = 1.0
    long_answers: Literal["cut", "window"] = "cut"
    mask: tuple[Pii, ...] = ()

    def __post_init__(self) -> None:
        require(self.adapter in ("", *ADAPTERS), "adapter", self.adapter, f"there are {', '.join(ADAPTERS)}")
        self.check("path")
        require_fractions(self, "validation_fraction", "test_fraction")
        held_out = self.validation_fraction + self.test_fraction
        require(held_out < 1, "validation_fraction + test_fraction", float(f"{held_out:g}"), "must be below 1")
        require(self.weight >= 0, "weight", self.weight, "must not be negative")

    @property
    def is_used(self) -> bool:
        """Whether its weight is above 0."""
        return self.weight > 0

    @property
    def wanted(self) -> Columns:
        """The columns and fields that the adapter reads; those of all adapters as long as it is not known."""
        if not self.adapter:
            return Columns(frozenset(), FIELDS, whole=WHOLE)
        adapter = ADAPTERS[self.adapter]
        return Columns(adapter.required, adapter.fields, whole=adapter.whole)
