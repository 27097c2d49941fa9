"""Which output shards there are and what goes into each: a deterministic list, made before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from jobs.data_configs import ConversationShardsConfig, InteractionShardsConfig, TextShardsConfig
from tokenization.documents import Catalogue
from tokenization.records import LANGUAGES, SPLITS, Language, Split

MOST_PASSES = 4  # over Polish, the scarce language
HELD_OUT = 20  # validation and test each get a 20th of the interactions of train
SURPLUS = 3  # documents looked at per interaction wanted, since many hold none of fitting length


@dataclass(frozen=True)
class TextShard:
    """Documents of `split` in the corpus rows [start, stop), each language read so many times. A fraction of a pass
    is a choice of documents by hash."""

    file: str
    split: Split
    start: int
    stop: int
    passes: Mapping[Language, float]


@dataclass(frozen=True)
class InteractionShare:
    """One language in one shard: `generated` interactions from the dialogues that begin with number `dialogue`, and
    `real` ones from the documents at these corpus `rows`."""

    language: Language
    dialogue: int
    generated: int
    rows: tuple[int, ...]
    real: int


@dataclass(frozen=True)
class InteractionShard:
    file: str
    split: Split
    shares: tuple[InteractionShare, ...]


@dataclass(frozen=True)
class ConversationShard:
    """Dialogues [start, stop) of the split, in each language."""

    file: str
    split: Split
    start: int
    stop: int


Shard = TextShard | InteractionShard | ConversationShard


def text_shards(
    catalogue: Catalogue, config: TextShardsConfig, bytes_per_token: Mapping[Language, float]
) -> list[TextShard]:
    """Train documents in `config.shards` ranges of about equal work, the other splits whole and once."""
    tokens = catalogue.bytes / np.array([bytes_per_token[language] for language in LANGUAGES])[catalogue.languages]
    tokens = np.where(catalogue.splits == SPLITS.index("train"), tokens, 0.0)
    available = {name: float(tokens[catalogue.languages == n].sum()) for n, name in enumerate(LANGUAGES)}
    passes = mixture(available, config.polish_share, config.max_tokens)
    work = np.cumsum(tokens * np.array([passes[language] for language in LANGUAGES])[catalogue.languages])
    inner = np.searchsorted(work, work[-1] * np.arange(1, config.shards) / config.shards)
    ends = [0, *map(int, inner), len(work)]
    train = [TextShard(_name("train", i), "train", *cut, passes) for i, cut in enumerate(pairwise(ends))]
    once = dict.fromkeys(LANGUAGES, 1.0)
    return train + [TextShard(_name(split, 0), split, 0, len(work), once) for split in SPLITS if split != "train"]


def mixture(
    available: Mapping[Language, float], polish_share: float, max_tokens: int | None = None
) -> dict[Language, float]:
    """How often each language is read so that Polish has its share of the tokens: English at most once, Polish at
    most four times. Where that is too little Polish, its share stays below what was asked for."""
    english, polish = available["en"], available["pl"] * MOST_PASSES
    if max_tokens:
        english, polish = min(english, max_tokens * (1 - polish_share)), min(polish, max_tokens * polish_share)
    if english and polish_share < 1:
        polish = min(polish, english * polish_share / (1 - polish_share))
    elif polish_share == 1:
        english = 0.0
    wanted = {"en": english, "pl": polish}
    return {language: wanted[language] / available[language] if available[language] else 0.0 for language in LANGUAGES}


def interaction_shards(catalogue: Catalogue, config: InteractionShardsConfig) -> list[InteractionShard]:
    """Both languages in equal numbers. Real interactions come from documents chosen by hash, dealt out in turn."""
    shards = []
    for split in SPLITS:
        count = config.shards if split == "train" else 1
        scale = Fraction(1, 1 if split == "train" else HELD_OUT)
        dealt: list[list[InteractionShare]] = [[] for _ in range(count)]
        for language, half in zip(LANGUAGES, (0, 1), strict=True):
            generated = _portion(int(config.generated * scale), half, len(LANGUAGES))
            real = _portion(int(config.documents * scale), half, len(LANGUAGES))
            rows = catalogue.select(split, language)[: real * SURPLUS]
            for i in range(count):
                share = InteractionShare(
                    language=language,
                    dialogue=generated * i // count,
                    generated=_portion(generated, i, count),
                    rows=tuple(sorted(int(row) for row in rows[i::count])),
                    real=_portion(real, i, count),
                )
                dealt[i].append(share)
        shards += [InteractionShard(_name(split, i), split, tuple(shares)) for i, shares in enumerate(dealt)]
    return shards


def conversation_shards(config: ConversationShardsConfig) -> list[ConversationShard]:
    """Train dialogues in `config.shards` ranges of equal size."""
    cuts = [config.train * i // config.shards for i in range(config.shards + 1)]
    train = [ConversationShard(_name("train", i), "train", *cut) for i, cut in enumerate(pairwise(cuts))]
    return train + [
        ConversationShard(_name("validation", 0), "validation", 0, config.validation),
        ConversationShard(_name("test", 0), "test", 0, config.test),
    ]


def _name(split: Split, number: int) -> str:
    return f"{split}-{number:05d}.arrow"


def _portion(total: int, i: int, parts: int) -> int:
    """Size of part `i` when `total` is cut in `parts` as equally as it goes."""
    return total * (i + 1) // parts - total * i // parts
