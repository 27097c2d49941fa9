"""Broad conversations in shards: rows tell the generator, their turns fit, and readers take them as they are."""

from __future__ import annotations

from collections import defaultdict

import pytest

from jobs.evaluation.conversations import encoded, list_questions
from jobs.shards.dialogue_counts import DialogueCounts
from jobs.shards.dialogue_manifest import ConversationShard, InteractionShard, InteractionShare
from jobs.shards.dialogue_rows import ConversationRows, InteractionRows
from jobs.shards.dialogue_sources import SourceReport
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import BROAD, LANGUAGES
from tokenization.shards.writer import write_shard

SPEC = DialogueSpec(turns=(3, 12), facts=(1, 6), distract=0.2, update=0.3, unknown=0.18, broad=0.5)
LENGTH = 64


class NoDocuments:
    """A corpus from which nothing is read."""

    def read(self, rows):
        return iter(())


@pytest.fixture(scope="module")
def tokenizer():
    conversations = (generate(SPEC, language, "train", 0, n) for n in range(4_000) for language in LANGUAGES)
    turns = (turn for conversation in conversations for turn in conversation.interactions)
    return Tokenizer.train((text for turn in turns for text in (turn.query, turn.answer)), 2560)


@pytest.fixture(scope="module")
def counted(tokenizer):
    rows = ConversationRows(NoDocuments(), tokenizer, LENGTH, SPEC, None, 1, defaultdict(tuple), 10)
    counts = DialogueCounts("test", LENGTH)
    made = list(rows(ConversationShard("test.arrow", "test", 0, 400), SourceReport("test", ()), counts))
    return made, counts.report


def test_rows_and_counts_tell_the_generator(counted):
    rows, report = counted
    assert set(report["sources"]) == {"dialogues", BROAD}
    for row in rows:
        broad = row["conversation_id"].startswith("broad-")
        assert all(probe["slot"].startswith("broad/") == broad for probe in row["probes"])
    assert sum(row["conversation_id"].startswith("broad-") for row in rows) == sum(
        language["test"]["rows"] for language in report["sources"][BROAD].values()
    )


def test_hardly_a_turn_is_cut(counted, tokenizer):
    """At the length of the smallest preset, with its size of the vocabulary, in sentences the tokenizer never saw."""
    counts = [language["test"] for language in counted[1]["sources"][BROAD].values()]
    assert sum(one["cut_tokens"] for one in counts) < 0.001 * sum(one["tokens"] for one in counts)


def test_single_interactions_are_counted_by_generator(tokenizer):
    rows = InteractionRows(NoDocuments(), tokenizer, LENGTH, SPEC, 1)
    shares = tuple(InteractionShare(language, 0, 300) for language in LANGUAGES)
    counts = DialogueCounts("train", LENGTH)
    made = list(rows(InteractionShard("train.arrow", "train", shares), SourceReport("train", ()), counts))
    sources = counts.report["sources"]
    found = {source: sum(one["train"]["rows"] for one in of.values()) for source, of in sources.items()}
    assert len(made) == 600 == sum(found.values())
    assert found[BROAD] > 150 and found["dialogues"] > 150


def test_the_schema_takes_them_and_evaluation_asks_them(counted, tmp_path):
    record = write_shard(str(tmp_path / "test-00000.arrow"), "conversations", iter(counted[0]), "test")
    assert record.rows == len(counted[0])
    conversations = [encoded(row) for row in counted[0]]
    asked = [question for question in list_questions(conversations) if question.probe.generator == BROAD]
    assert len(asked) > 500
    assert {question.probe.kind for question in asked} == {"recall", "update", "unknown"}
