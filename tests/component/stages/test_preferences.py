"""Rows of conversations with accepted and rejected answers, from the generator and from a data set with bad rows."""

import json

import pytest

from jobs.configs.preferences import PreferenceShardsConfig
from jobs.preferences.batches import preference_batch
from jobs.preferences.rows import PreferenceRows
from jobs.preferences.shards import require_preferences
from jobs.shards.dialogue_counts import DialogueCounts
from jobs.shards.dialogue_manifest import ConversationShard
from jobs.shards.dialogue_sources import SourceReport
from jobs.stage.context import StageError
from tests.support.shard_data import write_corpus
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import partitions_of, read_conversations
from tokenization.dialogues.spec import DialogueSpec
from tokenization.documents import Corpus
from tokenization.quarantine import Rejected
from tokenization.records import LANGUAGES, SPLITS
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.reader import ShardReader
from tokenization.shards.writer import write_shard

LENGTH = 48


def answer(text):
    return {"answer": text}


def turn(query, accepted, rejected):
    return {"query": query, "accepted": answer(accepted), "rejected": answer(rejected)}


GOOD = {
    "system": "Be short.",
    "interactions": [
        turn("who am I?", "you are Ala", "you are Ola"),
        turn("and my cat?", "it is Mruczek", "I do not know"),
    ],
}
BAD = [
    {"interactions": [{"query": "who am I?", "accepted": answer("you are Ala")}]},
    {"interactions": [{"query": "who am I?", "accepted": answer("you are Ala"), "rejected": answer("")}]},
    {"interactions": [turn("who am I?", "you are Ala", "you are Ala")]},
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["who am I? you are Ala or Ola", "i mój kot? to Mruczek"] * 20, 300)


def rows_of(tmp_path, tokenizer, partitions=(), generated=0, longest=16):
    corpus = Corpus(str(write_corpus(tmp_path / "corpus")))
    nothing = {(split, language): () for split in SPLITS for language in LANGUAGES}
    rows = PreferenceRows(corpus, tokenizer, LENGTH, DialogueSpec(turns=(4, 6)), None, 0, nothing, longest)
    shard = ConversationShard("train-00000.arrow", "train", 0, generated, (), tuple(partitions))
    report = SourceReport("train", shard.partitions)
    return list(rows(shard, report, DialogueCounts("train", LENGTH))), report


def source(tmp_path, *rows):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ConversationSource(
        name="pairs", kind="files", path=str(path), language="en", licence="CC0-1.0", split="train"
    )


def test_both_answers_of_a_data_set_follow_the_same_query_and_bad_rows_are_told(tmp_path, tokenizer):
    partitions = partitions_of(source(tmp_path, GOOD, *BAD))
    require_preferences(partitions)
    rows, _ = rows_of(tmp_path, tokenizer, partitions)
    (row,) = rows
    prompt, *turns = row["interactions"]
    assert prompt["rejected"] == [] and len(turns) == 2
    for given, encoded in zip(GOOD["interactions"], turns, strict=True):
        start = encoded["answer_start"]
        assert encoded["input_ids"][:start] == encoded["rejected"][:start]
        ids, mask = encoded["rejected"], encoded["rejected_mask"]
        assert tokenizer.decode([i for i in ids[start:] if i > 10]) == given["rejected"]["answer"]
        assert mask == [place >= start for place in range(len(ids))] and ids[-1] == 3


def test_rows_without_a_rejected_answer_name_their_place(tmp_path, tokenizer):
    (partition,) = partitions_of(source(tmp_path, GOOD, *BAD))
    refused = [found for found in read_conversations(partition) if isinstance(found, Rejected)]
    assert [(one.reason, one.detail) for one in refused] == [
        ("no answer", "interactions[0].rejected"),
        ("no answer", "interactions[0].rejected"),
        ("accepted and rejected are the same", "interactions[0]"),
    ]


def test_a_data_set_without_rejected_answers_is_refused(tmp_path):
    plain = {"interactions": [{"query": "who am I?", "answer": "you are Ala"}]}
    with pytest.raises(StageError, match=r"source pairs: its rows have the schema interactions, which has no rejected"):
        require_preferences(partitions_of(source(tmp_path, plain)))


def test_what_cannot_have_a_rejected_answer_is_refused():
    with pytest.raises(ValueError, match="documents = 3: must be 0"):
        PreferenceShardsConfig(length=LENGTH, documents=3)


def test_generated_rows_are_read_back_and_make_batches(tmp_path, tokenizer):
    rows, _ = rows_of(tmp_path, tokenizer, generated=6)
    record = write_shard(f"{tmp_path}/shards/train-00000.arrow", "preferences", rows)
    index = ShardIndex("preferences", LENGTH, tokenizer.digest, tokenizer.vocab_size, (record,))
    write_index(f"{tmp_path}/shards", index)
    read = ShardReader(f"{tmp_path}/shards", "train").rows(range(len(rows)))
    assert [row["interactions"] for row in read] == [row["interactions"] for row in rows]
    batch = preference_batch(rows, LENGTH)
    assert batch["input_ids"].shape == batch["rejected"].shape
    chosen = batch["rejected_mask"].any(-1)
    asked = sum(len({probe["turn"] for probe in row["probes"]}) for row in rows)
    assert 0 < int(chosen.sum()) <= asked and not (chosen & ~batch["turn_mask"]).any()


def test_a_long_conversation_is_cut_with_both_answers(tmp_path, tokenizer):
    many = {"system": "Be short.", "interactions": [turn(f"{n}?", f"yes {n}", f"no {n}") for n in range(5)]}
    rows, _ = rows_of(tmp_path, tokenizer, partitions_of(source(tmp_path, many)), longest=2)
    assert [len(row["interactions"]) for row in rows] == [3, 3, 2]
    said = [tokenizer.decode([i for i in t["rejected"][t["answer_start"] :] if i > 10])
            for row in rows for t in row["interactions"][1:]]  # fmt: skip
    assert said == [f"no {n}" for n in range(5)]
