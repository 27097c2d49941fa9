"""Perplexity and latency: token weights, batching, and what grows with the turns."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
import torch.nn.functional as F

from jobs.evaluation import latency, perplexity
from rxt_model.generate import Decoding
from tests.support.evaluation_data import make_models, make_shards, make_tokenizer
from tokenization.shards.reader import ShardReader


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    tokenizer = make_tokenizer()
    uris = make_shards(tmp_path_factory.mktemp("shards"), tokenizer)
    model, baseline = make_models(tokenizer)
    rows = perplexity.load_rows(ShardReader(uris["text"], "test"), rows=50, seed=0)
    return model, baseline, rows


def test_rows_are_drawn_per_language(world):
    _, _, rows = world
    assert {language: len(found) for language, found in rows.items()} == {"en": 6, "pl": 5}
    assert all(row["language"] == 0 for row in rows["en"])


@pytest.mark.parametrize("kind", ["rxt", "baseline"])
def test_an_uneven_last_batch_gives_the_result_of_a_single_batch(world, kind):
    model, baseline, rows = world
    scorer = perplexity.reactive_scorer(model, 0) if kind == "rxt" else perplexity.stateless_scorer(baseline)
    whole = perplexity.measure(scorer, rows["en"], batch_size=100)
    for size in (1, 4, 5):
        assert perplexity.measure(scorer, rows["en"], size) == pytest.approx(whole, rel=1e-5)
    assert whole["rows"] == 6 and ("masked_accuracy" in whole) == (kind == "rxt")


def test_perplexity_is_that_of_every_document_alone(world):
    """The reference takes each document by itself through the plain pass, weighted by its number of predictions."""
    _, baseline, rows = world
    nats, count = 0.0, 0
    for row in rows["pl"]:
        bounds = [*row["document_starts"], len(row["input_ids"])]
        for start, end in itertools.pairwise(bounds):
            ids = torch.tensor([row["input_ids"][start:end]])
            with torch.inference_mode():
                logits = baseline.logits(baseline.decode(ids))[0, :-1]
            nats += F.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            count += ids.shape[1] - 1
    found = perplexity.measure(perplexity.stateless_scorer(baseline), rows["pl"], batch_size=2)
    assert found["tokens"] == count
    assert found["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)


def test_masked_tokens_are_content_and_about_the_announced_share(world):
    model, _, rows = world
    found = perplexity.measure(perplexity.reactive_scorer(model, 0), rows["en"] + rows["pl"], 4)
    tokens = sum(len(row["input_ids"]) for row in rows["en"] + rows["pl"])
    share = found["masked_tokens"] / tokens
    assert abs(share - perplexity.MLM_PROBABILITY) < 4 * math.sqrt(0.15 * 0.85 / tokens)


@pytest.mark.parametrize(("last", "grid"), [(1, [1]), (8, [1, 2, 4, 8]), (6, [1, 2, 4, 6])])
def test_turns_are_measured_at_powers_of_two_and_the_last(last, grid):
    assert latency.turn_grid(last) == grid


def test_the_history_grows_and_the_memory_does_not(world):
    model, baseline, _ = world
    records = latency.measure(model, baseline, [([2, 5, 20, 21], [6, 22, 3]), ([2, 5, 23], [6, 3])], last=4)
    assert [r["turn"] for r in records] == [1, 2, 4]
    assert [r["history_tokens"] for r in records] == [0, 7, 7 + 5 + 7]
    assert len({r["rxt_bytes"] for r in records}) == 1
    assert records[-1]["baseline_bytes"] > records[0]["baseline_bytes"]
    assert all(r[k] > 0 for r in records for k in ("rxt_seconds", "write_seconds", "baseline_seconds"))
    json.dumps(records)


def test_bytes_of_state_are_those_of_the_tensors(world):
    model, baseline, _ = world
    assert latency.state_bytes(model) == 2 * 8 * 32 * 4
    tokens = 13
    assert latency.history_bytes(baseline, tokens) == Decoding(baseline, None, [[20] * tokens], [9]).cache.nbytes
