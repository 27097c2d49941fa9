"""Rows become tensors with the right edges, and every rank sees the same shapes."""

import threading

import pytest
import torch

from jobs.batches import (
    Prefetched,
    beside,
    conversation_batch,
    history_batch,
    interaction_batch,
    rank_slice,
    text_batch,
    text_beside,
)


def interaction(*ids, answer=1):
    return {"input_ids": list(ids), "loss_mask": [i >= answer for i in range(len(ids))]}


def test_text_rows_keep_document_boundaries():
    rows = [
        {"input_ids": [2, 20, 3, 2, 21, 22, 3], "document_starts": [0, 3]},
        {"input_ids": [2, 23, 3], "document_starts": [0]},
    ]
    batch = text_batch(rows)
    assert batch["input_ids"].tolist() == [[2, 20, 3, 2, 21, 22, 3, 0], [2, 23, 3, 0, 0, 0, 0, 0]]
    assert batch["documents"].tolist() == [[0, 0, 0, 1, 1, 1, 1, -1], [0, 0, 0, -1, -1, -1, -1, -1]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_interactions_are_cut_to_the_length_and_padded_to_the_longest_row():
    batch = interaction_batch([interaction(2, 5, 20, 6, 3, answer=3), interaction(*range(11, 24))], length=12)
    assert batch["input_ids"].shape == (2, 16)
    assert batch["input_ids"][1, :12].tolist() == list(range(11, 23))
    assert batch["loss_mask"][0].nonzero().flatten().tolist() == [3, 4]
    assert not batch["loss_mask"][1, 12:].any()


def test_ragged_conversations_lose_no_turn():
    rows = [{"interactions": [interaction(2, 20, 3)] * 2}, {"interactions": [interaction(2, 20, 21, 3, answer=2)] * 6}]
    batch = conversation_batch(rows, length=8)
    assert batch["input_ids"].shape == (2, 6, 8)
    assert batch["turn_mask"].sum(1).tolist() == [2, 6]
    assert batch["loss_mask"].sum((1, 2)).tolist() == [2 * 2, 6 * 2]
    first = conversation_batch(rows, length=8, turns=3)
    assert first["turn_mask"].tolist() == [[True, True, False], [True] * 3]
    assert torch.equal(first["input_ids"], batch["input_ids"][:, :3])


def test_a_history_is_all_turns_in_a_row():
    rows = [{"interactions": [interaction(2, 20, 3), interaction(2, 21, 22, 3, answer=3)]}]
    batch = history_batch(rows, length=8)
    assert batch["input_ids"].tolist() == [[2, 20, 3, 2, 21, 22, 3, 0]]
    assert batch["loss_mask"][0].tolist() == [False, True, True, False, False, False, True, False]


def test_ranks_share_the_rows_and_the_shape():
    batch = interaction_batch([interaction(*range(11, 12 + i)) for i in range(7)], length=8)
    parts = [rank_slice(batch, rank, 3) for rank in range(3)]
    assert [len(part["input_ids"]) for part in parts] == [3, 2, 2]
    assert [(part["input_ids"] != 0).sum(1).tolist() for part in parts] == [[1, 6, 7], [2, 5], [3, 4]]


def test_text_beside_a_batch_is_shared_out_by_itself():
    batch = interaction_batch([interaction(11, 12)] * 4, length=8)
    text = text_batch([{"input_ids": [20 + i] * 9, "document_starts": [0]} for i in range(3)])
    assert text_beside(batch) == {}
    parts = [rank_slice(beside(batch, text), rank, 2) for rank in range(2)]
    assert [len(part["input_ids"]) for part in parts] == [2, 2]
    assert [text_beside(part)["input_ids"][:, 0].tolist() for part in parts] == [[20], [21, 22]]
    assert text_beside(parts[1])["documents"].shape == (2, 16)


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
