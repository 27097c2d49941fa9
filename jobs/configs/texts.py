"""Settings of the corpus and of the shards of text. All of them are part of the fingerprint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

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
from tokenization.cleaning.pii import Pii
from tokenization.cleaning.settings import Limits, RuleSet, Tag
from tokenization.records import LANGUAGES, Language
from tokenization.sources.source import Source

Length = Annotated[int, Field(ge=16)]  # in tokens; 16 hold the control tokens and some content


class BenchmarkConfig(Config):
    """Texts that models will be tested on, in files such as a source has."""

    name: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1)]
    columns: dict[str, str] = {}


class PolicyConfig(Config):
    """Which documents are left out, by their tags (`tokenization.cleaning.tags`): by the sets `rules` and by `limits`
    of one's own. A limit on a tag takes the place of all rules on it. Another policy does not clean the texts again."""

    rules: tuple[RuleSet, ...] = ("repetition", "symbols")
    limits: dict[Tag, Limits] = {}


class CorpusConfig(Config):
    """Documents in both languages. A stable hash of its words puts each document into a split. Each source
    then holds out more, until validation and test have `least_held_out` documents of each language or a tenth of the
    source is used. A document that has `benchmark_words` words in a row in common with another one stays in training
    (`jobs.corpus.held_out`).

    `mask` replaces what identifies people (`tokenization.cleaning.pii`), which is counted in any case. `policy` decides
    which documents are left out. If documents have the same words, only the first stays. The same holds for documents
    whose sets of 5-word sequences have an estimated Jaccard similarity of `near_duplicates` or more; 1 turns this off.
    Documents that share `benchmark_words` words in a row with a text of `benchmarks` are dropped. Later stages drop
    such conversations too. `without` names packages that are not used (`jobs.stage.substitutes`).
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    min_characters: PositiveInt = 40
    mask: tuple[Pii, ...] = ()
    policy: PolicyConfig = PolicyConfig()
    near_duplicates: Annotated[float, Field(ge=0.7, le=1)] = 0.8  # below 0.7 the search would miss most pairs
    benchmarks: tuple[BenchmarkConfig, ...] = ()
    benchmark_words: PositiveInt = 13
    validation_fraction: Fraction = 0.02
    test_fraction: Fraction = 0.02
    least_held_out: NonNegativeInt = 200
    without: tuple[Literal["py3langid", "rensa"], ...] = ()

    left_out: ClassVar[frozenset[str]] = frozenset({"without"})

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        check_names(source.name for source in sources)
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


class TextShardsConfig(MixtureConfig):
    """Rows of `length` tokens, packed from whole documents (long ones are cut) with their boundaries. Each split has
    `shards` files. The training split is a mixture, measured in tokens, of at most `max_tokens` tokens."""

    length: Length
    shards: PositiveInt = 4
    max_tokens: PositiveInt | None = None


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError if two sources have the same name."""
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise ValueError(f"two sources are named {', '.join(map(repr, twice))}: each source needs a name of its own")
