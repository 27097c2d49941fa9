"""Rows become tensors with the right edges, and all ranks see the same shapes."""

import torch

from jobs.training.batching.batches import (
    beside,
    conversation_batch,
    history_batch,
    interaction_batch,
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


def test_a_part_of_a_batch_has_the_shape_of_the_whole():
    rows = [{"interactions": [interaction(*range(11, 13 + n))] * n} for n in (1, 4, 9)]
    lengths = [[2 + n] * n for n in (1, 4, 9)]
    whole, part = (conversation_batch(some, length=10, lengths=lengths) for some in (rows, rows[1:2]))
    assert torch.equal(part["input_ids"], whole["input_ids"][1:2])
    assert torch.equal(part["turn_mask"], whole["turn_mask"][1:2])
    assert part["input_ids"].shape == (1, 9, 16)
    first = conversation_batch(rows[:1], length=10, turns=4, lengths=lengths)
    assert first["input_ids"].shape == (1, 4, 16)
    assert conversation_batch(rows[:1], length=10, turns=1, lengths=lengths[:2])["input_ids"].shape == (1, 1, 8)
    assert history_batch(rows[:1], length=10, lengths=lengths)["input_ids"].shape == (1, 96)
    assert history_batch(rows[:1], length=4, lengths=lengths)["input_ids"].shape == (1, 40)
    assert interaction_batch([interaction(11)], 8, lengths=[[1], [30]])["input_ids"].shape == (1, 8)
    text = text_batch([{"input_ids": [11], "document_starts": [0]}], lengths=[[30], [1]])
    assert text["documents"].tolist() == [[0] + [-1] * 31]


def test_text_lies_beside_a_batch_under_names_of_its_own():
    batch = interaction_batch([interaction(11, 12)] * 4, length=8)
    text = text_batch([{"input_ids": [20 + i] * 9, "document_starts": [0]} for i in range(3)])
    assert text_beside(batch) == {}
    both = beside(batch, text)
    assert {name: both[name] for name in batch} == batch and text_beside(both) == text
