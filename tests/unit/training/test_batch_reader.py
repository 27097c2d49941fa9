"""Each rank reads its own rows of every global batch. The global batch does not depend on the number of ranks."""

import itertools
import threading

import numpy as np
import pytest
import torch

from jobs.training.batching.batches import ROW, conversation_batch, history_batch, interaction_batch, text_batch
from jobs.training.batching.reader import WHOLE, Prefetched, Share, batch_reader
from tests.support.training_data import LENGTH, make_training_shards, same, undealt
from tokenization.shards.reader import ShardReader, global_batch

ROWS, SIZE, SEED = 48, 12, 7
# the shards, and what training makes of their rows: conversations grow from one interaction to all of them
KINDS = {
    "text": ("text", lambda rows, lengths, step: text_batch(rows, lengths)),
    "interactions": ("interactions", lambda rows, lengths, step: interaction_batch(rows, LENGTH, lengths)),
    "cut interactions": ("interactions", lambda rows, lengths, step: interaction_batch(rows, 9, lengths)),
    "conversations": ("conversations", lambda rows, lengths, step: conversation_batch(rows, LENGTH, None, lengths)),
    "growing": ("conversations", lambda rows, lengths, step: conversation_batch(rows, 11, 1 + step, lengths)),
    "histories": ("conversations", lambda rows, lengths, step: history_batch(rows, LENGTH, lengths)),
}


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    return make_training_shards(tmp_path_factory.mktemp("shards"), rows=ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_ranks_shares_the_same_batches_and_any_other_number_goes_on(uris, kind):
    """There are 48 rows in batches of 12 or of 10, which cross into the second epoch in the middle of a batch."""
    name, collate = KINDS[kind]
    reader = ShardReader(uris[name], "train")
    for size in (SIZE, 10):
        for step in range(6):
            rows = reader.rows(global_batch(ROWS, SEED, step, size))
            rows.sort(
                key=lambda row: sum(len(turn["input_ids"]) for turn in row.get("interactions", [row])), reverse=True
            )
            expected = collate(rows, None, step) | {ROW: torch.arange(size)}
            for ranks in (1, 2, 3, 4):  # each made anew at this step, as after a restart
                readers = [batch_reader(reader, SEED, size, collate, Share(rank, ranks)) for rank in range(ranks)]
                parts = [batch_at(step) for batch_at in readers]
                assert same(undealt(parts), expected), (size, step, ranks)
                assert {len(part["input_ids"]) for part in parts} <= {size // ranks, -(-size // ranks)}


def test_a_rank_reads_the_tokens_of_its_own_rows_alone(uris):
    class Counting(ShardReader):
        def rows(self, indices):
            read.append(list(indices))
            return super().rows(indices)

    reader = Counting(uris["conversations"], "train")
    collate = KINDS["conversations"][1]
    for step in range(3):
        read = []
        for rank in range(4):
            batch_reader(reader, SEED, SIZE, collate, Share(rank, 4))(step)
        assert [len(rows) for rows in read] == [3] * 4
        assert sorted(itertools.chain(*read)) == sorted(global_batch(ROWS, SEED, step, SIZE))


def test_parts_are_about_equally_long():
    """Rows are dealt to and fro, in order of falling length."""
    assert [Share(rank, 3).places(7).tolist() for rank in range(3)] == [[0, 5, 6], [1, 4], [2, 3]]
    assert WHOLE.places(5).tolist() == list(range(5))
    lengths = np.arange(1024, 0, -1)
    sums = [lengths[Share(rank, 8).places(1024)].sum() for rank in range(8)]
    assert max(sums) - min(sums) <= 8


def test_the_next_batches_are_made_while_one_is_used():
    made, third = [], threading.Event()

    def batch_at(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 2:
            third.set()
        return {"input_ids": torch.full((1, 2), step)}

    prefetched = Prefetched(batch_at, ahead=2)
    assert prefetched(0)["input_ids"].tolist() == [[0, 0]]
    assert third.wait(10), "steps 1 and 2 are made without being asked for"
    assert [prefetched(step)["input_ids"][0, 0].item() for step in (1, 2, 3, 17, 3)] == [1, 2, 3, 17, 3]
    assert made[:4] == [(step, False) for step in range(4)]


def test_an_error_in_a_batch_is_raised_at_its_own_step():
    def batch_at(step):
        if step == 1:
            raise ValueError("shard is damaged")
        return {"input_ids": torch.zeros(1, 1)}

    prefetched = Prefetched(batch_at)
    prefetched(0)
    with pytest.raises(ValueError, match="damaged"):
        prefetched(1)
    assert prefetched(2)
