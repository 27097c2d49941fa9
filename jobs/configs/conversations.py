"""Settings of the shards of interactions and conversations. All of them are part of the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from jobs.configs.base import Config, Seed
from jobs.configs.texts import Length, check_names
from tokenization.conversations.data_set import ConversationSource
from tokenization.dialogues.spec import DialogueSpec

Without = tuple[Literal["choppa-srx"], ...]


class InteractionShardsConfig(Config):
    """Single interactions of at most `length` tokens. For both languages together, train has `generated` ones from
    generated dialogues and up to `documents` from the corpus, to which its sources of a language contribute by
    `weights`, 1 by default. The data sets in `sources` add all their interactions. `without` names packages that are
    not used (`jobs.stage.substitutes`)."""

    length: Length
    shards: PositiveInt = 4
    generated: NonNegativeInt = 4_000
    documents: NonNegativeInt = 4_000
    weights: dict[str, NonNegativeFloat] = {}
    dialogues: DialogueSpec = DialogueSpec()
    sources: tuple[ConversationSource, ...] = ()
    seed: Seed = 0
    without: Without = ()

    left_out: ClassVar[frozenset[str]] = frozenset({"without"})

    @model_validator(mode="after")
    def _something_is_written(self) -> InteractionShardsConfig:
        if not (self.generated or self.documents or any(source.is_used for source in self.sources)):
            told = "those of weight 0 alone" if self.sources else "[]"
            raise ValueError(f"generated = 0, documents = 0, sources = {told}: there must be something to write")
        _check_together(self.sources)
        return self


class ConversationShardsConfig(Config):
    """Conversations whose interactions have at most `length` tokens each.

    `train`, `validation` and `test` are numbers of generated conversations per language. Every second one of the
    training split follows the plan `longer`, if there is one. Real conversations come from the corpus, which gives up
    to `documents` dialogues of both languages together to train on, and from the data sets in `sources`. Those longer
    than `longest` interactions are cut into several. `without` names packages that are not used
    (`jobs.stage.substitutes`).
    """

    length: Length
    shards: PositiveInt = 4
    train: PositiveInt = 8_000
    validation: PositiveInt = 200
    test: PositiveInt = 400
    dialogues: DialogueSpec = DialogueSpec()
    longer: DialogueSpec | None = None
    documents: NonNegativeInt = 0
    sources: tuple[ConversationSource, ...] = ()
    longest: PositiveInt = 16
    seed: Seed = 0
    without: Without = ()

    left_out: ClassVar[frozenset[str]] = frozenset({"without"})

    @model_validator(mode="after")
    def _sources_are_told_apart(self) -> ConversationShardsConfig:
        _check_together(self.sources)
        return self


def _check_together(sources: Sequence[ConversationSource]) -> None:
    """Raise ValueError if the same conversation in two sources could fall into different splits."""
    check_names(source.name for source in sources)
    by_hash = [source for source in sources if source.split == "hash"]
    for name in ("validation_fraction", "test_fraction"):
        values = {getattr(source, name): source.name for source in by_hash}
        if len(values) > 1:
            told = ", ".join(f"{value:g} of {source!r}" for value, source in values.items())
            raise ValueError(
                f"sources: {name} = {told}: must be the same in all with split = 'hash', or a conversation in two of "
                "them could be held out in one and trained on in the other"
            )
