"""Plan the shards of text and what goes into each: a deterministic list, made before any work is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from jobs.configs.texts import TextShardsConfig
from tokenization.documents import Corpus, RowGroup
from tokenization.files.threads import map_threads
from tokenization.mixture import SourceOf, passes
from tokenization.records import Language, Split
from tokenization.shards.index import shard_name

KEY = ["split", "source", "language"]


@dataclass(frozen=True)
class TextShard:
    """Some rows of the corpus, which become one file per split. Training documents are read as often as `passes` says
    for their source and language, the others once."""

    number: int
    groups: tuple[RowGroup, ...]
    passes: Mapping[SourceOf, float]

    @property
    def name(self) -> str:
        return f"text-{self.number:05d}"

    def file(self, split: Split) -> str:
        """The name of this shard's file for `split`."""
        return shard_name(split, self.number)


@dataclass(frozen=True)
class Stock:
    """The bytes of text in a row group by split, source and language."""

    group: RowGroup
    bytes: Mapping[tuple[Split, str, Language], float]


def take_stock(corpus: Corpus) -> list[Stock]:
    """Estimate the bytes in every row group without reading texts: documents of a row group count as equally long."""
    return map_threads(_stock, corpus.row_groups())


def _stock(found: tuple[RowGroup, int]) -> Stock:
    group, size = found
    keys = pa.Table.from_batches(group.read(KEY, batch_rows=group.stop))
    counts = keys.group_by(keys.column_names).aggregate([([], "count_all")]).to_pylist()
    return Stock(
        group, {(row["split"], row["source"], row["language"]): size * row["count_all"] / group.stop for row in counts}
    )


def text_shards(
    stocks: Sequence[Stock], config: TextShardsConfig, bytes_per_token: Mapping[SourceOf, float]
) -> list[TextShard]:
    """Cut the corpus into `config.shards` ranges of about equal work. Raises MixtureError."""
    available: defaultdict[SourceOf, float] = defaultdict(float)
    for stock in stocks:
        for (split, source, language), size in stock.bytes.items():
            key = source, language
            available[key] += size / bytes_per_token[key] if split == "train" else 0.0
    often = passes(available, config.weights, config.most_passes, config.polish_share, config.max_tokens)
    work = [
        sum(
            size / bytes_per_token[source, language] * (often[source, language] if split == "train" else 1.0)
            for (split, source, language), size in stock.bytes.items()
        )
        for stock in stocks
    ]
    ends = np.cumsum([0.0, *work])
    cuts = ends[-1] * np.arange(1, config.shards) / config.shards
    at = np.searchsorted(ends, cuts, side="right") - 1
    inside = ((cuts - ends[at]) / np.array(work)[at]).tolist()
    places = [(0, 0.0), *zip(at.tolist(), inside, strict=True), (len(stocks), 0.0)]
    return [
        TextShard(number, tuple(_between([stock.group for stock in stocks], *edges)), often)
        for number, edges in enumerate(pairwise(places))
    ]


def _between(groups: Sequence[RowGroup], first: tuple[int, float], last: tuple[int, float]) -> Iterator[RowGroup]:
    """Yield the rows between two places; a place is the number of a row group and a fraction of it."""
    for i in range(first[0], min(last[0] + 1, len(groups))):
        rows = groups[i].stop
        start = round(first[1] * rows) if i == first[0] else 0
        stop = round(last[1] * rows) if i == last[0] else rows
        if start < stop:
            yield replace(groups[i], start=start, stop=stop)
