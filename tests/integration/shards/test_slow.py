"""A worker cannot report that it encoded without the fast engine, and so slowly. The stage does."""

import json
from pathlib import Path

import pytest

from jobs.configs.conversations import InteractionShardsConfig
from jobs.configs.texts import TextShardsConfig
from jobs.shards.dialogue_stage import build_interaction_shards
from jobs.shards.text_stage import build_text_shards
from tests.support.shard_data import documents, shard_context, write_corpus
from tokenization.bpe.tokenizer import Tokenizer


def test_a_worker_that_falls_back_is_told_once_and_counted(ray_session, tmp_path):
    """The tokenizer splits words in a way that the fast engine does not know."""
    content = json.loads(Tokenizer.train([document.text for document in documents()], 400).json)
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": r"\d|[^\d]"}
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps(content))
    inputs = write_corpus(tmp_path / "corpus"), str(tmp_path / "tokenizer")

    text, interactions = (shard_context(tmp_path / name, *inputs) for name in ("text", "interactions"))
    with pytest.warns(RuntimeWarning, match="snaptokens is not used"):  # of the driver, which samples texts
        found = build_text_shards(text, TextShardsConfig(length=48, shards=3))
    assert found["slow_shards"] == 3
    config = InteractionShardsConfig(length=48, shards=2, generated=20, documents=10)
    assert build_interaction_shards(interactions, config)["slow_shards"] == 4
    for ctx in (text, interactions):
        (message,) = ctx.reporter.messages
        assert "in its worker, snaptokens is not used, so encoding is far slower" in message
    assert not any("slow" in path.read_text() for path in Path(text.output_uri, "done").glob("*.json"))
