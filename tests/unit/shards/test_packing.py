"""Packing conserves tokens, keeps short documents whole, marks where documents begin, and is best fit."""

import random

import numpy as np
import pytest

from tokenization.bpe.special_tokens import BOS, EOS
from tokenization.shards.packing import best_fit, pack
from tokenization.shards.provenance import piece_columns


def documents(seed: int, count: int, longest: int) -> list[list[int]]:
    random.seed(seed)
    return [[1000 * n + i for i in range(random.randint(0, longest))] for n in range(11, 11 + count)]


def packed(texts: list[list[int]], length: int) -> list[dict]:
    offsets = np.cumsum([0, *map(len, texts)])
    ids = np.array([token for text in texts for token in text], dtype=np.int32)
    return pack(ids, offsets, length).to_pylist()


def one_by_one(sizes: list[int], capacity: int) -> list[int]:
    """Best fit, longest first, as in a textbook. Returns the room left in each bin."""
    room: list[int] = []
    for size in sorted(sizes, reverse=True):
        fitting = [i for i, left in enumerate(room) if left >= size]
        if not fitting:
            fitting = [len(room)]
            room.append(capacity)
        room[min(fitting, key=room.__getitem__)] -= size
    return sorted(room)


@pytest.mark.parametrize("longest", [5, 30, 200])
def test_every_token_comes_out_once_and_in_order(longest):
    texts = documents(longest, 300, longest)
    rows = packed(texts, 32)
    pieces = [
        row["input_ids"][start:stop]
        for row in rows
        for start, stop in zip(
            row["document_starts"], [*row["document_starts"][1:], len(row["input_ids"])], strict=True
        )
    ]
    content = [token for piece in pieces for token in piece if token not in (BOS, EOS)]
    assert sorted(content) == sorted(token for text in texts for token in text)
    for text in filter(None, texts):
        number = text[0] // 1000
        mine = sorted(piece for piece in pieces if any(t // 1000 == number for t in piece))
        assert sorted(t for piece in mine for t in piece if t // 1000 == number) == text
        assert all(piece[0] == BOS or len(text) > 30 for piece in mine)
    assert sum(piece.count(BOS) for piece in pieces) == sum(piece.count(EOS) for piece in pieces) == len(texts)
    assert all(0 < len(row["input_ids"]) <= 32 and row["document_starts"][0] == 0 for row in rows)


def test_every_piece_names_its_document_and_its_place_in_it():
    texts = documents(1, 200, 90)
    offsets = np.cumsum([0, *map(len, texts)])
    rows = pack(np.array([token for text in texts for token in text], dtype=np.int32), offsets, 32)
    pieces = piece_columns(rows, 1_000)
    ids = rows["input_ids"].to_pylist()
    seen = 0
    for row, start, tokens, document, offset in zip(
        *(pieces[name].tolist() for name in ("row", "start", "tokens", "document", "offset")), strict=True
    ):
        piece = [token for token in ids[row - 1_000][start : start + tokens] if token not in (BOS, EOS)]
        assert piece == texts[document][offset : offset + len(piece)]
        seen += tokens
    assert seen == sum(map(len, ids)) == sum(map(len, texts)) + 2 * len(texts)


def test_short_documents_stay_whole_and_long_ones_go_on_without_bos():
    rows = packed([list(range(100, 110)), list(range(200, 250)), list(range(300, 304))], 16)
    assert [row["input_ids"] for row in rows] == [
        [BOS, *range(100, 110), EOS, 247, 248, 249, EOS],
        [BOS, *range(200, 215)],
        list(range(215, 231)),
        list(range(231, 247)),
        [BOS, *range(300, 304), EOS],
    ]
    assert [row["document_starts"] for row in rows] == [[0, 12], [0], [0], [0], [0]]


@pytest.mark.parametrize("seed", range(20))
def test_placing_equal_sizes_together_is_best_fit(seed):
    rng = np.random.default_rng(seed)
    capacity = int(rng.integers(3, 60))
    sizes = rng.integers(1, capacity + 1, rng.integers(1, 200))
    bins = best_fit(sizes, capacity)
    assert sorted((capacity - np.bincount(bins, sizes)).tolist()) == one_by_one(sizes.tolist(), capacity)


def test_rows_are_nearly_full():
    rows = packed(documents(1, 2000, 40), 64)
    assert sum(len(row["input_ids"]) for row in rows) / (64 * len(rows)) > 0.995


def test_no_documents_are_no_rows_and_rows_without_room_are_refused():
    assert packed([], 20) == []
    with pytest.raises(ValueError, match="rows of 2 tokens"):
        packed(documents(3, 100, 50), 2)
