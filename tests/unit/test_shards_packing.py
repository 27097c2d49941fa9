"""Packing conserves tokens, keeps short documents whole and marks where documents begin."""

import random

import pytest

from tokenization.packing import pack
from tokenization.special_tokens import BOS, EOS


def documents(seed: int, count: int, longest: int) -> list[list[int]]:
    random.seed(seed)
    return [[1000 * n + i for i in range(random.randint(0, longest))] for n in range(11, 11 + count)]


@pytest.mark.parametrize("longest", [5, 30, 200])
def test_every_token_comes_out_once_and_in_order(longest):
    texts = documents(longest, 300, longest)
    rows = list(pack(texts, 32))
    pieces = [
        row.input_ids[start:stop]
        for row in rows
        for start, stop in zip(row.document_starts, [*row.document_starts[1:], len(row.input_ids)], strict=True)
    ]
    content = [token for piece in pieces for token in piece if token not in (BOS, EOS)]
    assert sorted(content) == sorted(token for text in texts for token in text)
    for text in filter(None, texts):
        number = text[0] // 1000
        assert [t for piece in pieces for t in piece if t // 1000 == number] == text
    assert sum(piece.count(BOS) for piece in pieces) == sum(piece.count(EOS) for piece in pieces) == len(texts)
    assert all(len(row.input_ids) <= 32 and row.document_starts[0] == 0 for row in rows)


def test_short_documents_stay_whole_and_long_ones_go_on_without_bos():
    rows = [row.input_ids for row in pack([list(range(100, 110)), list(range(200, 250)), list(range(300, 305))], 16)]
    assert rows == [
        [BOS, *range(200, 215)],
        list(range(215, 231)),
        list(range(231, 247)),
        [BOS, *range(100, 110), EOS, 247, 248, 249, EOS],
        [BOS, *range(300, 305), EOS],
    ]


def test_rows_are_nearly_full():
    rows = list(pack(documents(1, 2000, 40), 64))
    assert sum(len(row.input_ids) for row in rows) / (64 * len(rows)) > 0.95


def test_packing_is_deterministic_and_refuses_rows_without_room():
    texts = documents(3, 100, 50)
    assert list(pack(texts, 20)) == list(pack(iter(texts), 20))
    with pytest.raises(ValueError, match="rows of 2 tokens"):
        list(pack(texts, 2))
