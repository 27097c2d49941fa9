"""Which shards of text there are and what goes into each: a deterministic list, made before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jobs.data_configs import TextShardsConfig
from tokenization.documents import Catalogue
from tokenization.records import LANGUAGES, SPLITS, Language, Split

MOST_PASSES = 4  # over Polish, the scarce language


@dataclass(frozen=True)
class TextShard:
    """Documents of `split` in the corpus rows [start, stop), each language read so many times. A fraction of a pass
    is a choice of documents by hash."""

    file: str
    split: Split
    start: int
    stop: int
    passes: Mapping[Language, float]


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
    train = [TextShard(shard_name("train", i), "train", *cut, passes) for i, cut in enumerate(pairwise(ends))]
    once = dict.fromkeys(LANGUAGES, 1.0)
    return train + [TextShard(shard_name(split, 0), split, 0, len(work), once) for split in SPLITS if split != "train"]


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


def shard_name(split: Split, number: int) -> str:
    return f"{split}-{number:05d}.arrow"
