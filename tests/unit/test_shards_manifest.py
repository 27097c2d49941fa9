"""The manifest: every document once, the language mix, equal parts."""

import itertools

import numpy as np
import pytest

from jobs.data_configs import ConversationShardsConfig, InteractionShardsConfig, TextShardsConfig
from jobs.dialogue_manifest import conversation_shards, interaction_shards
from jobs.shard_manifest import mixture, text_shards
from tokenization.documents import Catalogue

RNG = np.random.default_rng(0)


def catalogue(count: int = 1000) -> Catalogue:
    return Catalogue(
        hashes=RNG.permutation(count).astype(np.uint64),
        languages=(np.arange(count) > count * 0.8).astype(np.int8),
        splits=RNG.choice(3, count, p=[0.8, 0.1, 0.1]).astype(np.int8),
        bytes=RNG.integers(100, 1000, count),
    )


@pytest.mark.parametrize(
    "english, polish, share, most, expected",
    [
        (100, 50, 0.5, None, (1, 2)),
        (100, 10, 0.5, None, (1, 4)),  # too little Polish: four passes and no more
        (100, 400, 0.5, None, (1, 0.25)),
        (100, 100, 0.25, None, (1, 1 / 3)),
        (100, 100, 0.5, 100, (0.5, 0.5)),
        (100, 10, 0.5, 100, (0.5, 4)),
        (0, 30, 0.5, None, (0, 4)),
        (30, 0, 0.5, None, (1, 0)),
        (30, 30, 0.0, None, (1, 0)),
        (30, 30, 1.0, None, (0, 4)),
    ],
)
def test_mixture(english, polish, share, most, expected):
    passes = mixture({"en": english, "pl": polish}, share, most)
    assert (passes["en"], passes["pl"]) == pytest.approx(expected)


def test_text_shards_cut_the_corpus_without_gap_or_overlap():
    shards = text_shards(catalogue(1000), TextShardsConfig(length=64, shards=3), {"en": 4.0, "pl": 3.0})
    train = [shard for shard in shards if shard.split == "train"]
    assert [shard.file for shard in shards] == [
        "train-00000.arrow", "train-00001.arrow", "train-00002.arrow", "validation-00000.arrow", "test-00000.arrow",
    ]  # fmt: skip
    assert (train[0].start, train[-1].stop) == (0, 1000)
    assert all(a.stop == b.start for a, b in itertools.pairwise(train))
    assert all(set(shard.passes.values()) == {1.0} for shard in shards[3:])
    assert all((shard.start, shard.stop) == (0, 1000) for shard in shards[3:])


def test_text_shards_hold_about_equal_work():
    """Found on real text: ranges of equal row count gave one shard six times the tokens of another."""
    files = catalogue()
    files.bytes[:100] *= 50
    shards = text_shards(files, TextShardsConfig(length=64, shards=3), {"en": 4.0, "pl": 3.0})[:3]
    ratio, passes = (4.0, 3.0), shards[0].passes
    work = [
        sum(
            files.bytes[row] / ratio[files.languages[row]] * passes[("en", "pl")[files.languages[row]]]
            for row in range(shard.start, shard.stop)
            if files.splits[row] == 0
        )
        for shard in shards
    ]
    assert max(work) < 1.2 * min(work)


def test_interaction_shards_share_no_document_and_no_dialogue():
    config = InteractionShardsConfig(length=64, shards=3, generated=401, documents=199)
    files = catalogue()
    shards = interaction_shards(files, config)
    shares = [share for shard in shards if shard.split == "train" for share in shard.shares]
    assert sum(share.generated for share in shares) == 401
    assert sum(share.real for share in shares) == 199
    rows = [row for shard in shards for share in shard.shares for row in share.rows]
    assert len(rows) == len(set(rows))
    for shard in shards:
        for share in shard.shares:
            for row in share.rows:
                assert ("train", "validation", "test")[files.splits[row]] == shard.split
                assert ("en", "pl")[files.languages[row]] == share.language
    for language in ("en", "pl"):
        mine = [share for share in shares if share.language == language]
        assert all(a.dialogue + a.generated <= b.dialogue for a, b in itertools.pairwise(mine))
    assert all(share.generated == 10 for shard in shards[3:] for share in shard.shares)


def test_conversation_shards_cover_all_dialogues():
    shards = conversation_shards(
        ConversationShardsConfig(length=64, shards=3, train=10, validation=2, test=3), catalogue()
    )
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 3), (3, 6), (6, 10), (0, 2), (0, 3)]
