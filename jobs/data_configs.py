"""What a user may set for the stages that make data: corpus, tokenizer, shards. Everything here is identity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from jobs.config_base import Config, Fraction
from tokenization.fetch import PACKAGES
from tokenization.records import LANGUAGES, Language

Length = Annotated[int, Field(ge=16)]  # tokens: control tokens and some content


class SourceConfig(Config):
    """One source of documents.

    `kind`: `package` (a name of `tokenization.fetch`), `files` (Parquet, JSONL or text at `path`, any fsspec URL, with
    wildcards), `hub` (a dataset `path` with `subset` and `revision`). `text_column` is read by `files` and `hub`.
    `max_bytes` cuts the source after so many bytes of clean text, in the source's own order.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["package", "files", "hub"]
    language: Language
    licence: Annotated[str, Field(min_length=1)]
    path: str = ""
    subset: str = ""
    revision: str = ""
    text_column: str = "text"
    max_bytes: PositiveInt | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> SourceConfig:
        if self.kind == "package" and self.name not in PACKAGES:
            raise ValueError(f"name = {self.name!r}: no package is known by it; there are {', '.join(PACKAGES)}")
        if self.kind != "package" and not self.path:
            raise ValueError(f"path = {self.path!r}: source {self.name!r} of kind {self.kind!r} needs one")
        return self


class CorpusConfig(Config):
    """Documents in both languages. Splits go by a stable hash of the text."""

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    min_characters: PositiveInt = 40
    validation_fraction: Fraction = 0.02
    test_fraction: Fraction = 0.02

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> CorpusConfig:
        held_out = self.validation_fraction + self.test_fraction
        if held_out >= 1:
            raise ValueError(f"validation_fraction + test_fraction = {held_out:g}: must be below 1")
        return self


class DialoguesConfig(Config):
    """Generated memory dialogues. `turns` and `facts` are inclusive ranges; `echo` is the probability that the
    acknowledgement of a fact repeats its value. `again`: share of the training split's small talk that asks once more
    for a fact already told, or, in a share of `unknown`, for one never told."""

    turns: tuple[PositiveInt, PositiveInt] = (4, 8)
    facts: tuple[PositiveInt, PositiveInt] = (1, 4)
    echo: Fraction = 0.3
    update: Fraction = 0.15
    unknown: Fraction = 0.08
    distract: Fraction = 0.25
    again: Fraction = 0.0

    @model_validator(mode="after")
    def _ranges_rise(self) -> DialoguesConfig:
        for name in ("turns", "facts"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = [{low}, {high}]: must not fall")
        return self


class TokenizerConfig(Config):
    """One byte-level BPE vocabulary for both languages, trained on documents and on generated dialogues."""

    vocab_size: Annotated[int, Field(ge=267)]  # control tokens and bytes
    document_bytes: PositiveInt = 4_000_000
    dialogues: PositiveInt = 2_000
    dialogue_plan: DialoguesConfig = DialoguesConfig()
    seed: int = 0


class TextShardsConfig(Config):
    """Rows of `length` tokens, packed from whole documents (long ones are cut) with their boundaries. `shards` files
    for each split.

    Mixture of the training split (`tokenization.mixture`): `weights` of sources within their language, by name, 1 where
    none is given; at most `most_passes` over a language; Polish has `polish_share` of the tokens if it can;
    `max_tokens` in all.
    """

    length: Length
    shards: PositiveInt = 4
    max_tokens: PositiveInt | None = None
    polish_share: Fraction = 0.5
    weights: dict[str, NonNegativeFloat] = {}
    most_passes: dict[Language, PositiveFloat] = {"en": 1.0, "pl": 4.0}

    @model_validator(mode="after")
    def _both_languages_have_a_cap(self) -> TextShardsConfig:
        if missing := set(LANGUAGES) - set(self.most_passes):
            raise ValueError(f"most_passes = {self.most_passes}: {', '.join(sorted(missing))} is missing")
        return self


class InteractionShardsConfig(Config):
    """Single interactions of at most `length` tokens: real ones from the corpus and those of generated dialogues."""

    length: Length
    shards: PositiveInt = 4
    generated: PositiveInt = 4_000
    documents: PositiveInt = 4_000
    dialogues: DialoguesConfig = DialoguesConfig()
    seed: int = 0


class ConversationShardsConfig(Config):
    """Conversations whose interactions have at most `length` tokens each. Counts are per language."""

    length: Length
    shards: PositiveInt = 4
    train: PositiveInt = 8_000
    validation: PositiveInt = 200
    test: PositiveInt = 400
    dialogues: DialoguesConfig = DialoguesConfig()
    seed: int = 0
