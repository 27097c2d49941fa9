"""Plan the shards of interactions and conversations, and what goes into each, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from tokenization.conversations.pairs import SourceShare, source_shares
from tokenization.conversations.sources import Partition
from tokenization.documents import Catalogue
from tokenization.mixture import check_known
from tokenization.records import LANGUAGES, SPLITS, Language, Split
from tokenization.shards.index import shard_name

HELD_OUT = 20  # validation and test each get a 20th as many interactions as train


@dataclass(frozen=True)
class InteractionShare:
    """One language in one shard: `generated` interactions from the dialogues numbered from `dialogue` on, and those of
    the corpus from each of its sources."""

    language: Language
    dialogue: int
    generated: int
    real: tuple[SourceShare, ...] = ()


@dataclass(frozen=True)
class InteractionShard:
    """A shard that takes interactions from the generator, the corpus and these partitions of data sets."""

    file: str
    split: Split
    shares: tuple[InteractionShare, ...]
    partitions: tuple[Partition, ...] = ()

    @property
    def name(self) -> str:
        return self.file


@dataclass(frozen=True)
class ConversationShard:
    """A shard that holds the generated dialogues with numbers [start, stop) in each language, the dialogues in the
    documents at these corpus `rows`, and the split's conversations in these partitions of data sets."""

    file: str
    split: Split
    start: int
    stop: int
    rows: tuple[int, ...] = ()
    partitions: tuple[Partition, ...] = ()

    @property
    def name(self) -> str:
        return self.file


DialogueShard = InteractionShard | ConversationShard


def interaction_shards(
    catalogue: Catalogue, config: InteractionShardsConfig, partitions: Sequence[Partition] = ()
) -> list[InteractionShard]:
    """Plan shards with both languages in equal numbers. Documents are chosen by hash and dealt out in turn. Raises
    MixtureError for weights of unknown sources."""
    check_known(config.weights, catalogue.names)
    shards = []
    for split in SPLITS:
        count = config.shards if split == "train" else 1
        scale = Fraction(1, 1 if split == "train" else HELD_OUT)
        dealt: list[list[InteractionShare]] = [[] for _ in range(count)]
        for language, half in zip(LANGUAGES, (0, 1), strict=True):
            generated = _portion(int(config.generated * scale), half, len(LANGUAGES))
            wanted = _portion(int(config.documents * scale), half, len(LANGUAGES))
            real = source_shares(catalogue, split, language, wanted, config.weights)
            for i in range(count):
                share = InteractionShare(
                    language=language,
                    dialogue=generated * i // count,
                    generated=_portion(generated, i, count),
                    real=tuple(each.dealt(i, count) for each in real),
                )
                dealt[i].append(share)
        for i, (shares, mine) in enumerate(zip(dealt, _dealt(partitions, split, count), strict=True)):
            shards.append(InteractionShard(shard_name(split, i), split, tuple(shares), mine))
    return shards


def conversation_shards(
    config: ConversationShardsConfig,
    catalogue: Catalogue,
    dialogue_rows: Sequence[int] | np.ndarray = (),
    partitions: Sequence[Partition] = (),
) -> list[ConversationShard]:
    """Plan shards of conversations: the train split in `config.shards` ranges of equal size, the others in one shard.

    `dialogue_rows` are the rows of the catalogue that hold dialogues. Train takes `config.documents` of them, chosen by
    hash; validation and test take a 20th as many each.
    """
    shards = []
    for split in SPLITS:
        count = config.shards if split == "train" else 1
        total = {"train": config.train, "validation": config.validation, "test": config.test}[split]
        cuts = pairwise(total * i // count for i in range(count + 1))
        wanted = config.documents if split == "train" else -(-config.documents // HELD_OUT)
        known = [
            row for language in LANGUAGES for row in np.intersect1d(catalogue.select(split, language), dialogue_rows)
        ]
        rows = sorted(known, key=lambda row: catalogue.hashes[row])[:wanted]
        for i, (cut, mine) in enumerate(zip(cuts, _dealt(partitions, split, count), strict=True)):
            shards.append(
                ConversationShard(shard_name(split, i), split, *cut, tuple(sorted(map(int, rows[i::count]))), mine)
            )
    return shards


def _dealt(partitions: Sequence[Partition], split: Split, count: int) -> list[tuple[Partition, ...]]:
    """The partitions with conversations of the split, in `count` runs of about equal bytes. A source split by hash has
    conversations for every split, so each split's shards read all of it."""
    partitions = [partition for partition in partitions if partition.source.split in ("hash", split)]
    ends = np.cumsum([partition.slice.size for partition in partitions])
    shard = np.zeros(len(partitions), dtype=np.int64)
    if len(partitions) and ends[-1]:
        middles = ends - np.array([partition.slice.size for partition in partitions]) / 2
        shard = np.minimum((middles * count / ends[-1]).astype(np.int64), count - 1)
    return [tuple(one for one, owner in zip(partitions, shard, strict=True) if owner == i) for i in range(count)]


def _portion(total: int, i: int, parts: int) -> int:
    """The size of part `i` when `total` is cut into `parts` as equally as possible."""
    return total * (i + 1) // parts - total * i // parts
