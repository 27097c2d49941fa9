"""Pairs from the documents of several sources: each gives its share, and from all over the source."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.shards.dialogue_rows import choose_distractors
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.pairs import pairs, source_shares
from tokenization.documents import COLUMNS, Corpus
from tokenization.mixture import portions

LONG, SHORT = "long", "short"  # names of sources: many documents, in the order of the alphabet, and a few behind them


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return Tokenizer.train(["word 003 stands here. It means number 3.", "Page 3 has line 2."] * 5, 320)


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    texts = [(LONG, f"word {n:03d} stands here. It means number {n}.") for n in range(600)]
    texts += [(SHORT, " ".join(f"Page {n} has line {line}." for line in range(8))) for n in range(20)]
    rows = [(f"{name}-{n}", text, "en", name, "CC0", "train") for n, (name, text) in enumerate(texts)]
    table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(table, Path(tmp_path, "documents-00000.parquet"), row_group_size=50)
    return Corpus(str(tmp_path))


def test_sources_give_alike_whatever_their_size_and_no_part_of_one_is_left_out(corpus, tokenizer):
    shares = source_shares(corpus.catalogue(), "train", "en", 100, {})
    found = [pair for i in range(2) for pair in pairs(corpus, [one.dealt(i, 2) for one in shares], tokenizer, 128)]
    assert Counter(pair.document.source for pair in found) == {LONG: 50, SHORT: 50}
    numbers = [int(pair.document.id.rpartition("-")[2]) for pair in found if pair.document.source == LONG]
    assert len(set(numbers)) == 50 and sum(number < 200 for number in numbers) < 25 < 35 < max(numbers) / 10
    assert len({(pair.document.id, pair.number) for pair in found}) == 100
    for pair in found:
        text = pair.document.text
        assert text.index(pair.interaction.query) < text.index(pair.interaction.answer)


def test_what_a_source_lacks_the_others_give(corpus, tokenizer):
    shares = source_shares(corpus.catalogue(), "train", "en", 400, {SHORT: 3.0})
    found = Counter(pair.document.source for pair in pairs(corpus, shares, tokenizer, 128))
    assert found == {SHORT: 20 * 4, LONG: 300}  # 80 are all there are; the other source has three documents per pair
    assert [one.wanted for one in shares] == [100, 300]


def test_small_talk_comes_from_all_sources(corpus, tokenizer):
    chosen = choose_distractors(corpus, corpus.catalogue(), tokenizer, 256)["train", "en"]
    assert sum(one.query.startswith("Page") for one in chosen) == 80 and len(chosen) == 300


def test_portions():
    assert portions(10, {"a": 1.0, "b": 1.0, "c": 1.0}) == {"a": 3, "b": 4, "c": 3}
    assert portions(7, {"a": 0.0, "b": 2.0}) == {"a": 0, "b": 7} and portions(7, {"a": 0.0}) == {"a": 0}
