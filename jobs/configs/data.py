"""What a user may set for the stages that make data: corpus, tokenizer, shards. Everything here is identity."""

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

Length = Annotated[int, Field(ge=16)]  # tokens: control tokens and some content


class BenchmarkConfig(Config):
    """Texts that models will be tested on: files as those of a source."""

    name: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1)]
    text_column: str = "text"


class CorpusConfig(Config):
    """Documents in both languages. Splits go by a stable hash of the words.

    Of documents with the same words, and of those whose sets of 5-word sequences have an estimated Jaccard similarity
    of `near_duplicates` or more (1: of no others), only the first stays. Documents that share `benchmark_words` words
    in a row with a text of `benchmarks` are dropped, and so are such conversations of the data sets of later stages.
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    min_characters: PositiveInt = 40
    near_duplicates: Annotated[float, Field(ge=0.7, le=1)] = 0.8  # below 0.7 most pairs would not be found
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
    """How much of which text is trained on (`tokenization.mixture`): `weights` of sources within their language, by
    name, 1 where none is given; at most `most_passes` over a language; Polish has `polish_share` of all if it can."""

    polish_share: Fraction = 0.5
    weights: dict[str, NonNegativeFloat] = {}
    most_passes: dict[Language, PositiveFloat] = {"en": 1.0, "pl": 4.0}

    @model_validator(mode="after")
    def _both_languages_have_a_cap(self) -> MixtureConfig:
        if missing := set(LANGUAGES) - set(self.most_passes):
            raise ValueError(f"most_passes = {self.most_passes}: {', '.join(sorted(missing))} is missing")
        return self


class TokenizerConfig(MixtureConfig):
    """One byte-level BPE vocabulary for both languages, trained on `document_bytes` of a mixture of documents, by
    their bytes, and on generated dialogues."""

    vocab_size: Annotated[int, Field(ge=267)]  # control tokens and bytes
    document_bytes: PositiveInt = 4_000_000
    dialogues: PositiveInt = 2_000
    dialogue_plan: DialogueSpec = DialogueSpec()
    seed: int = 0


class TextShardsConfig(MixtureConfig):
    """Rows of `length` tokens, packed from whole documents (long ones are cut) with their boundaries. `shards` files
    for each split. The training split is a mixture, by tokens, of at most `max_tokens` in all."""

    length: Length
    shards: PositiveInt = 4
    max_tokens: PositiveInt | None = None


class InteractionShardsConfig(Config):
    """Single interactions of at most `length` tokens: real ones from the corpus, those of generated dialogues, and all
    of the data sets in `sources`."""

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
    """Conversations whose interactions have at most `length` tokens each. Generated ones: `train`, `validation` and
    `test` per language. Real ones: `documents` dialogues of the corpus to train on, in all languages together, and the
    data sets in `sources`; those longer than `longest` interactions are cut into several."""

    length: Length
    shards: PositiveInt = 4
    train: PositiveInt = 8_000
    validation: PositiveInt = 200
    test: PositiveInt = 400
    dialogues: DialogueSpec = DialogueSpec()
    documents: NonNegativeInt = 0
    sources: tuple[ConversationSource, ...] = ()
    longest: PositiveInt = 16
    seed: int = 0

    @model_validator(mode="after")
    def _sources_are_told_apart(self) -> ConversationShardsConfig:
        _check_together(self.sources)
        return self


def _check_together(sources: Sequence[ConversationSource]) -> None:
    """Whether sources can stand beside each other: the same conversation in two of them must be in the same split."""
    _check_names(sources)
    by_hash = [source for source in sources if source.split == "hash"]
    for name in ("validation_fraction", "test_fraction"):
        values = {getattr(source, name): source.name for source in by_hash}
        if len(values) > 1:
            told = ", ".join(f"{value:g} of {source!r}" for value, source in values.items())
            raise ValueError(
                f"sources: {name} = {told}: must be the same in all with split = 'hash', or a conversation that two of "
                "them have could be held out in one and trained on in the other"
            )


def _check_names(sources: Sequence[Source | ConversationSource]) -> None:
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two sources are named {', '.join(map(repr, twice))}: what they give is named after them")
