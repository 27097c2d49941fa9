"""The manifest: every document once, the language mix, equal parts."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.texts import TextShardsConfig
from jobs.shards.dialogue_manifest import conversation_shards, interaction_shards
from jobs.shards.text_manifest import Stock, take_stock, text_shards
from tokenization.documents import Catalogue, Corpus, RowGroup
from tokenization.mixture import MixtureError

RNG = np.random.default_rng(0)


def catalogue(count: int = 1000) -> Catalogue:
    return Catalogue(
        hashes=RNG.permutation(count).astype(np.uint64),
        languages=(np.arange(count) > count * 0.8).astype(np.int8),
        splits=RNG.choice(3, count, p=[0.8, 0.1, 0.1]).astype(np.int8),
        bytes=RNG.integers(100, 1000, count),
        sources=np.zeros(count, dtype=np.int32),
        names=("texts",),
    )


def stocks(sizes: list[float], documents: int = 100) -> list[Stock]:
    """Make row groups of two languages in turn, a tenth of each held out."""
    return [
        Stock(
            RowGroup(f"documents-{n:05d}.parquet", 0, 0, documents),
            {
                ("train", f"source-{n % 2}", ("en", "pl")[n % 2]): 0.9 * size,
                ("validation", f"source-{n % 2}", ("en", "pl")[n % 2]): 0.1 * size,
            },
        )
        for n, size in enumerate(sizes)
    ]


RATIOS = {("source-0", "en"): 4.0, ("source-1", "pl"): 3.0}


@pytest.mark.parametrize("shards", [1, 3, 40])
def test_text_shards_cut_the_corpus_without_gap_or_overlap(shards):
    parts = text_shards(stocks([500, 200, 9000, 3] * 3), TextShardsConfig(length=64, shards=shards), RATIOS)
    assert [part.number for part in parts] == list(range(shards))
    assert parts[0].file("train") == "train-00000.arrow"
    rows = [(group.url, row) for part in parts for group in part.groups for row in range(group.start, group.stop)]
    assert rows == [(f"documents-{n:05d}.parquet", row) for n in range(12) for row in range(100)]


def test_text_shards_hold_about_equal_work():
    """On real text, ranges of equal row count gave one shard six times the tokens of another."""
    found = stocks([500, 100, 500, 300, 40_000, 100, 200, 500], documents=1000)
    parts = text_shards(found, TextShardsConfig(length=64, shards=3, most_passes={"en": 1, "pl": 2}), RATIOS)
    per_row = {
        stock.group.url: sum(
            size / RATIOS[key[1:]] * (parts[0].passes[key[1:]] if key[0] == "train" else 1)
            for key, size in stock.bytes.items()
        )
        / 1000
        for stock in found
    }
    work = [sum(per_row[group.url] * (group.stop - group.start) for group in part.groups) for part in parts]
    assert max(work) < 1.01 * min(work)
    assert parts[0].passes == pytest.approx({("source-0", "en"): 1.0, ("source-1", "pl"): 2.0})


def test_stock_is_taken_without_reading_texts(tmp_path):
    texts = {"train": "a" * 1000, "test": "b" * 1000}
    for number, (source, language) in enumerate((("books", "en"), ("ksiazki", "pl"))):
        rows = [
            {"id": f"{n}", "text": f"{n:04d}{text}", "language": language, "source": source, "licence": "", "split": s}
            for s, text in texts.items()
            for n in range(300 if s == "train" else 100)
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"documents-{number:05d}.parquet", row_group_size=250)
    found = take_stock(Corpus(str(tmp_path)))
    assert [(stock.group.number, stock.group.stop) for stock in found] == [(0, 250), (1, 150)] * 2
    total = Counter()
    for stock in found:
        total.update(stock.bytes)
    assert set(total) == {(s, *key) for s in texts for key in (("books", "en"), ("ksiazki", "pl"))}
    assert total["train", "books", "en"] == pytest.approx(300 * 1004, rel=0.03)
    assert [batch.num_rows for batch in replace(found[0].group, start=60, stop=190).read(batch_rows=100)] == [40, 90]


def test_interaction_shards_share_no_document_and_no_dialogue():
    config = InteractionShardsConfig(length=64, shards=3, generated=401, documents=199)
    files = catalogue()
    shards = interaction_shards(files, config)
    shares = [share for shard in shards if shard.split == "train" for share in shard.shares]
    assert sum(share.generated for share in shares) == 401
    assert sum(part.wanted for share in shares for part in share.real) == 199
    rows = [row for shard in shards for share in shard.shares for part in share.real for row in part.rows]
    assert len(rows) == len(set(rows))
    for shard in shards:
        for share in shard.shares:
            for row in (row for part in share.real for row in part.rows):
                assert ("train", "validation", "test")[files.splits[row]] == shard.split
                assert ("en", "pl")[files.languages[row]] == share.language
    for language in ("en", "pl"):
        mine = [share for share in shares if share.language == language]
        assert all(a.dialogue + a.generated <= b.dialogue for a, b in itertools.pairwise(mine))
    assert all(share.generated == 10 for shard in shards[3:] for share in shard.shares)


def test_each_source_gives_interactions_by_its_weight_whatever_its_size_and_place():
    files = replace(catalogue(), sources=np.minimum(np.arange(1000) // 400, 1), names=("first", "second"))
    english = [
        (files.names[files.sources[part.rows[0]]], part.wanted)
        for weights in ({}, {"second": 3.0}, {"first": 0.0})
        for shard in interaction_shards(
            files, InteractionShardsConfig(length=64, shards=1, documents=200, weights=weights)
        )
        if shard.split == "train"
        for part in shard.shares[0].real
    ]
    assert english == [("first", 50), ("second", 50), ("first", 25), ("second", 75), ("second", 100)]
    with pytest.raises(MixtureError, match="weights name 'third'; the corpus has first, second"):
        interaction_shards(files, InteractionShardsConfig(length=64, weights={"third": 1.0}))


def test_conversation_shards_cover_all_dialogues():
    config = ConversationShardsConfig(length=64, shards=3, train=10, validation=2, test=3)
    shards = conversation_shards(config, catalogue())
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 3), (3, 6), (6, 10), (0, 2), (0, 3)]
