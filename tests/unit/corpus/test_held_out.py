"""Held-out documents: as many as are wanted, from every source, and none that shares words in a row with another."""

import json
import random
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.corpus.cleaning import clean_piece
from jobs.corpus.held_out import Clean, candidates, choose, documents_with
from jobs.corpus.judging import find_repeated
from jobs.corpus.plan import plan
from tests.support.corpus_data import config, corpus_context
from tokenization.cleaning.benchmark import Benchmark
from tokenization.documents import split_of
from tokenization.records import SPLITS
from tokenization.sources.source import Source

NONE = Benchmark.of([], 13)
WORDS = "keeper lamp shore boat night storm bread letter river garden winter engine violin bridge market candle".split()
SHARED = " ".join(f"this licence lets you copy the lamp {word}" for word in WORDS[:3])  # 24 words


def texts(count: int, shared: int, seed: str) -> list[str]:
    """Texts of 30 words, of which the first `shared` have words in common."""
    draw = random.Random(seed)
    found = [" ".join(["the", *draw.choices(WORDS, k=29)]) for _ in range(count)]
    return [f"{text} {SHARED}." if n < shared else f"{text}." for n, text in enumerate(found)]


def held_out(folder, sources: dict[str, list[str]], **options):
    """Return the split of each text by source, as the stage would choose it."""
    made = []
    for name, found in sources.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in found))
        skip = ("language", "repeated", "repetition", "symbols")
        made.append(
            Source(name=name, kind="files", language="en", licence="none", path=f"{folder}/{name}.jsonl", skip=skip)
        )
    settings = config(tuple(made), **options)
    tasks = plan(corpus_context(folder / "out"), settings, NONE).tasks
    searches = [(f"{task.url}.parquet", clean_piece(task, b"", NONE)["judged"]["rows"], task.policy) for task in tasks]
    files = [
        Clean(url, task.source.name, "en", fate)
        for task, (url, _, _), (fate, _) in zip(tasks, searches, find_repeated(searches, 1.0), strict=True)
    ]
    found = candidates(files, settings)
    ngrams = np.unique(np.concatenate([one.ngrams for each in found for one in each.documents]))
    counts = np.zeros(len(ngrams), np.int64)
    for file in files:
        places, times = documents_with(file, settings.benchmark_words, ngrams)
        counts[places] += times
    chosen = choose(files, found, ngrams[counts > 1], settings)
    rows = [pq.read_table(file.url).to_pylist() for file in files]
    return {
        file.source: [(row["text"], row["split_key"], SPLITS[split]) for row, split in zip(mine, splits, strict=True)]
        for file, mine, splits in zip(files, rows, chosen, strict=True)
    }


def thirteen(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[k:] for k in range(13)), strict=False))


def test_every_source_gives_its_share_and_nothing_that_training_knows(tmp_path):
    sources = {"large": texts(600, 60, "a"), "small": texts(200, 150, "b")}
    found = held_out(tmp_path, sources, least_held_out=40, validation_fraction=0.01, test_fraction=0.01)
    counts = {name: Counter(split for _, _, split in rows) for name, rows in found.items()}
    for split in ("validation", "test"):
        assert counts["large"][split] == 30 and counts["small"][split] == 10  # by their documents
    rows = [row for mine in found.values() for row in mine]
    train = set().union(*(thirteen(text) for text, _, split in rows if split == "train"))
    assert not any(thirteen(text) & train for text, _, split in rows if split != "train")
    test = set().union(*(thirteen(text) for text, _, split in rows if split == "test"))
    assert not any(thirteen(text) & test for text, _, split in rows if split == "validation")


def test_fractions_hold_where_they_give_more_and_a_small_source_gives_a_tenth(tmp_path):
    sources = {"large": texts(600, 0, "a"), "small": texts(40, 0, "b")}
    found = held_out(tmp_path, sources, least_held_out=20, validation_fraction=0.05, test_fraction=0.1)
    assert all(split == split_of(key, 0.05, 0.1) for _, key, split in found["large"])
    found = held_out(tmp_path / "out", {"small": texts(40, 0, "b")}, least_held_out=20, test_fraction=0)
    by_digest = sum(split_of(key, 0.1, 0) == "validation" for _, key, _ in found["small"])
    assert Counter(split for _, _, split in found["small"])["validation"] == max(4, by_digest)
    assert not any(split == "test" for _, _, split in found["small"])


@pytest.mark.parametrize("least", [0, 5])
def test_documents_that_are_all_alike_in_a_place_are_all_trained_on(tmp_path, least):
    found = held_out(tmp_path, {"same": texts(100, 100, "a")}, least_held_out=least, test_fraction=0.2)
    assert {split for _, _, split in found["same"]} == {"train"}
