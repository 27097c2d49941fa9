"""Settings of the stages that make data: corpus, tokenizer, shards. All of them are part of the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from jobs.configs.base import Config, Fraction
from tokenization.conversations.data_set import ConversationSource
from tokenization.dialogues.spec import DialogueSpec
from tokenization.records import LANGUAGES, Language
from tokenization.sources.source import Source

Length = Annotated[int, Field(ge=16)]  # in tokens; 16 hold the control tokens and some content


class BenchmarkConfig(Config):
    """Texts that models will be tested on, in files such as a source has."""

    name: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1)]
    text_column: str = "text"


class CorpusConfig(Config):
    """Documents in both languages. A stable hash of its words puts each document into a split.

    If documents have the same words, only the first stays. The same holds for documents whose sets of 5-word sequences
    have an estimated Jaccard similarity of `near_duplicates` or more; 1 turns this off. Documents that share
    `benchmark_words` words in a row with a text of `benchmarks` are dropped. Later stages drop such conversations too.
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    min_characters: PositiveInt = 40
    near_duplicates: Annotated[float, Field(ge=0.7, le=1)] = 0.8  # below 0.7 the search would miss most pairs
    benchmarks: tuple[BenchmarkConfig, ...] = ()
    benchmark_words: PositiveInt = 13
    validation_fraction: Fraction = 0.02
    test_fraction: Fraction = 0.02

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        _check_names(sources)
        return sources

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> CorpusConfig:
        held_out = self.validation_fraction + self.test_fraction
        if held_out >= 1:
            raise ValueError(f"validation_fraction + test_fraction = {held_out:g}: must be below 1")
        return self


class MixtureConfig(Config):
    """How much of each text is trained on (`tokenization.mixture`).

    `weights` gives the weights of sources within their language by name, 1 by default. A language is passed over at
    most `most_passes` times. Polish gets `polish_share` of the whole if its passes allow that.
    """

    polish_share: Fraction = 0.5
    weights: dict[str, NonNegativeFloat] = {}
    most_passes: dict[Language, PositiveFloat] = {"en": 1.0, "pl": 4.0}

    @model_validator(mode="after")
    def _both_languages_have_a_cap(self) -> MixtureConfig:
        if missing := set(LANGUAGES) - set(self.most_passes):
            raise ValueError(f"most_passes = {self.most_passes}: {', '.join(sorted(missing))} is missing")
        return self


class TokenizerConfig(MixtureConfig):
    """One byte-level BPE vocabulary for both languages. It is trained on `document_bytes` bytes of a mixture of
    documents, measured in bytes, and on `dialogues` generated dialogues."""

    vocab_size: Annotated[int, Field(ge=267)]  # control tokens and bytes
    document_bytes: PositiveInt = 4_000_000
    dialogues: PositiveInt = 2_000
    dialogue_plan: DialogueSpec = DialogueSpec()
    seed: int = 0


class TextShardsConfig(MixtureConfig):
    """Rows of `length` tokens, packed from whole documents (long ones are cut) with their boundaries. Each split has
    `shards` files. The training split is a mixture, measured in tokens, of at most `max_tokens` tokens."""

    length: Length
    shards: PositiveInt = 4
    max_tokens: PositiveInt | None = None


class InteractionShardsConfig(Config):
    """Single interactions of at most `length` tokens. For both languages together, train has `generated` ones from
    generated dialogues and up to `documents` from the corpus. The data sets in `sources` add all their interactions."""

    length: Length
    shards: PositiveInt = 4
    generated: NonNegativeInt = 4_000
    documents: NonNegativeInt = 4_000
    dialogues: DialogueSpec = DialogueSpec()
    sources: tuple[ConversationSource, ...] = ()
    seed: int = 0

    @model_validator(mode="after")
    def _something_is_written(self) -> InteractionShardsConfig:
        if not (self.generated or self.documents or self.sources):
            raise ValueError("generated = 0, documents = 0, sources = []: there must be something to write")
        _check_together(self.sources)
        return self


class ConversationShardsConfig(Config):
    """Conversations whose interactions have at most `length` tokens each.

    `train`, `validation` and `test` are numbers of generated conversations per language. Every second one of the
    training split follows the plan `longer`, if there is one. Real conversations come from the corpus, which gives up
    to `documents` dialogues of both languages together to train on, and from the data sets in `sources`. Those longer
    than `longest` interactions are cut into several.
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
    seed: int = 0

    @model_validator(mode="after")
    def _sources_are_told_apart(self) -> ConversationShardsConfig:
        _check_together(self.sources)
        return self


def _check_together(sources: Sequence[ConversationSource]) -> None:
    """Raise ValueError if the same conversation in two sources could fall into different splits."""
    _check_names(sources)
    by_hash = [source for source in sources if source.split == "hash"]
    for name in ("validation_fraction", "test_fraction"):
        values = {getattr(source, name): source.name for source in by_hash}
        if len(values) > 1:
            told = ", ".join(f"{value:g} of {source!r}" for value, source in values.items())
            raise ValueError(
                f"sources: {name} = {told}: must be the same in all with split = 'hash', or a conversation in two of "
                "them could be held out in one and trained on in the other"
            )


def _check_names(sources: Sequence[Source | ConversationSource]) -> None:
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two sources are named {', '.join(map(repr, twice))}: each source needs a name of its own")
