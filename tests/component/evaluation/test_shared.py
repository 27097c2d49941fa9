"""Test questions that share a value or a sentence with training are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.evaluation.conversations import load_conversations
from jobs.evaluation.shared import check_held_out
from jobs.stage.context import Rerun, StageError
from tests.support.evaluation_data import make_conversations, make_shards, make_tokenizer
from tokenization.conversations.template import encode_interactions
from tokenization.dialogues.spec import DialogueSpec
from tokenization.records import LANGUAGES
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.reader import ShardReader
from tokenization.shards.writer import write_shard

SPEC = DialogueSpec(turns=(4, 7), facts=(1, 3), broad=0.5)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def conversations(tokenizer, tmp_path_factory):
    uris = make_shards(tmp_path_factory.mktemp("test"), tokenizer, conversations=30, spec=SPEC)
    return load_conversations(ShardReader(uris["conversations"], "test"), 20, seed=0)


@pytest.fixture(scope="module")
def training(tokenizer, tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("train"))
    rows = [
        {
            "conversation_id": one.id,
            "interactions": [
                vars(turn) | {"language": LANGUAGES.index(one.language)}
                for turn in encode_interactions(tokenizer, one.interactions, 64)
            ],
            "probes": [vars(probe) for probe in one.probes],
        }
        for one in make_conversations(150, "train", SPEC)
    ]
    record = write_shard(f"{uri}/train-00000.arrow", "conversations", rows, "train")
    write_index(uri, ShardIndex("conversations", 64, tokenizer.digest, tokenizer.vocab_size, (record,)))
    return ShardReader(uri, "train")


def test_the_generator_keeps_its_splits_apart(tokenizer, conversations, training):
    check_held_out(tokenizer, conversations, training, "conversation-shards")


def with_value(conversations, training, broad, same_slot):
    """A test conversation whose value is one of training: of the same slot, or of another."""
    one, turn = next(
        (one, turn)
        for one in conversations
        for turn, probe in one.probes.items()
        if probe.slot.startswith("broad/") == broad and probe.kind != "unknown"
    )
    told = [p for row in training.rows(range(len(training))) for p in row["probes"] if p["gold"]]
    of_slot = {p["gold"][0] for p in told if p["slot"] == one.probes[turn].slot}
    others = {p["gold"][0] for p in told} - of_slot
    value = min(of_slot if same_slot else others).upper()
    return replace(one, probes=one.probes | {turn: replace(one.probes[turn], gold=(value,))}), turn


@pytest.mark.parametrize(("broad", "same_slot"), [(False, True), (True, False)])
def test_a_value_of_training_is_refused(tokenizer, conversations, training, broad, same_slot):
    one, turn = with_value(conversations, training, broad, same_slot)
    with pytest.raises(StageError, match=f"{one.id}, turn {turn}: the value '.*' is in the training split") as caught:
        check_held_out(tokenizer, [one], training, "conversation-shards")
    assert caught.value.remedy == Rerun("conversation-shards")


def test_a_template_value_may_be_one_of_another_slot(tokenizer, conversations, training):
    one, _ = with_value(conversations, training, broad=False, same_slot=False)
    check_held_out(tokenizer, [one], training, "conversation-shards")


def test_a_broad_sentence_of_training_is_refused_and_small_talk_is_not(tokenizer, conversations, training):
    one = next(one for one in conversations if one.id.startswith("broad-"))
    row = training.row(0)
    query = row["interactions"][0]["input_ids"][: row["interactions"][0]["answer_start"]]
    asked = min(one.probes)
    silent = [t for t in range(len(one.queries)) if t not in one.probes and t not in one.tells]

    def with_query(turn):
        return replace(one, queries=(*one.queries[:turn], query, *one.queries[turn + 1 :]))

    with pytest.raises(StageError, match="the sentence .* is in the training split"):
        check_held_out(tokenizer, [with_query(asked)], training, "conversation-shards")
    for turn in silent:
        check_held_out(tokenizer, [with_query(turn)], training, "conversation-shards")
