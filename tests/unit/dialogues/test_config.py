"""Conversation data sets and the generator in a configuration file, and mistakes in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.shards.dialogue_sources import report_sources
from jobs.shards.dialogue_survey import surveyed_partitions
from jobs.stage.context import StageError
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from tests.support.shard_data import INTERACTIONS, shard_context, write_corpus
from tokenization.conversations.data_set import ConversationSource

TINY = PRESETS["tiny"]()
SOURCE = """
[[conversations.sources]]
name = "chat"
kind = "hub"
path = "owner/name"
subset = "instruct-pl"
adapter = "chat"
language = "pl"
licence = "ODC-By"
weight = 0.5
"""


def test_a_data_set_and_a_plan_from_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f"{SOURCE}\n[conversations.dialogues]\ndistances = [1, 2]\njoins = 0.2\nheld_out = true\n")
    conversations = resolve(TINY, file).conversations
    assert conversations.sources == (
        ConversationSource(
            name="chat", kind="hub", path="owner/name", subset="instruct-pl", adapter="chat", language="pl",
            licence="ODC-By", weight=0.5,
        ),
    )  # fmt: skip
    assert conversations.sources[0].part == "train"
    spec = conversations.dialogues
    assert (spec.distances, spec.joins, spec.held_out) == ((1, 2), 0.2, True)


def test_sources_of_one_split_may_hold_out_whatever_they_like(tmp_path):
    file = tmp_path / "mine.toml"
    other = SOURCE.replace('name = "chat"', 'name = "talk"\nsplit = "train"\ntest_fraction = 0.1')
    file.write_text(SOURCE + other)
    assert len(resolve(TINY, file).conversations.sources) == 2


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            'adapter = "chat"',
            'adapter = "roles"',
            "adapter = 'roles': there are first_turn_plus_interactions, ",
        ),
        ('licence = "ODC-By"', 'licence = ""', "conversations.sources.0.licence = '': must not be empty"),
        ('path = "owner/name"', "", "path"),
        ("weight = 0.5", "weight = -1", "conversations.sources.0.weight = -1.0: must not be negative"),
        ("weight = 0.5", "test_fraction = 0.99", "validation_fraction + test_fraction = 1.01: must be below 1"),
        ('name = "chat"', 'name = "chat"\ncolumns = "x"', "conversations.sources.0.columns"),
        ("weight = 0.5", SOURCE, "two sources are named 'chat'"),
        (
            "weight = 0.5",
            SOURCE.replace('name = "chat"', 'name = "talk"\ntest_fraction = 0.1'),
            "sources: test_fraction = 0.02 of 'chat', 0.1 of 'talk': must be the same in all with split = 'hash'",
        ),
    ],
)
def test_mistakes_are_named(before, after, message, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SOURCE.replace(before, after))
    with pytest.raises(StageError) as caught:
        resolve(TINY, file)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("conversations.dialogues.distances=[8, 9]", "distances = [8, 9]: one must be below turns = 3"),
        ("conversations.dialogues.unknown_kinds=[0, 0, 0]", "unknown_kinds = [0.0, 0.0, 0.0]: one must be above 0"),
        ("episodes.dialogues.echo=1.5", "episodes.dialogues.echo = 1.5: must be from 0 to 1"),
        ("episodes.dialogues.broad=1.5", "episodes.dialogues.broad = 1.5: must be from 0 to 1"),
        ("episodes.dialogues.characters=0", "episodes.dialogues.characters = 0: must be above 0"),
        ("episodes.dialogues.echo=nan", "episodes.dialogues.echo = NaN: expected a finite number"),
        ("episodes.dialogues.facts=[0, 3]", "episodes.dialogues.facts = [0, 3]: must be above 0"),
        ("tokenizer.dialogue_plan.eco=1", "eco: unknown; did you mean tokenizer.dialogue_plan.echo?"),
        (
            "interactions={generated=0, documents=0}",
            "generated = 0, documents = 0, sources = []: there must be something",
        ),
        (
            "interactions={generated=0, documents=0, sources=[{name='a', kind='files', language='en', licence='CC0', "
            "path='a', weight=0}]}",
            "generated = 0, documents = 0, sources = those of weight 0 alone: there must be something",
        ),
    ],
)
def test_plans_that_cannot_be_are_named(setting, message):
    with pytest.raises(StageError) as caught:
        resolve(TINY, None, [setting])
    assert message in str(caught.value)


def test_a_data_set_of_weight_0_is_not_read(tmp_path):
    source = ConversationSource(name="a", kind="files", language="en", licence="CC0", path="/no/where", weight=0)
    ctx = shard_context(tmp_path / "out", write_corpus(tmp_path / "corpus"))
    assert surveyed_partitions(ctx, [source]) == []
    config = INTERACTIONS.model_copy(update={"sources": (source,)})
    assert report_sources(ctx, [], config) == {}
    with pytest.raises(StageError, match="no file matches /no/where"):
        surveyed_partitions(ctx, [replace(source, weight=1)])
