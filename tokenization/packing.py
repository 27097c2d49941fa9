"""Documents -> rows of at most `length` tokens, with the positions at which documents begin.

First fit over a few open rows, in order: whole documents stay whole, only those longer than a row are cut, and their
tails are packed like short documents. No token is lost and none is added but [BOS] and [EOS] of each document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tokenization.special_tokens import BOS, EOS

OPEN_ROWS = 16  # more would fill rows better, and mix documents that lie further apart


@dataclass
class PackedRow:
    """Token ids, and where each document (or piece of one) begins among them."""

    input_ids: list[int] = field(default_factory=list)
    document_starts: list[int] = field(default_factory=list)

    def add(self, piece: Sequence[int]) -> None:
        self.document_starts.append(len(self.input_ids))
        self.input_ids.extend(piece)


def pack(documents: Iterable[Sequence[int]], length: int) -> Iterator[PackedRow]:
    """Rows of at most `length` tokens. A document is `[BOS] tokens [EOS]`; a later piece of a cut one has no [BOS]."""
    if length < 3:
        raise ValueError(f"rows of {length} tokens cannot hold a document")
    rows: list[PackedRow] = []
    for tokens in documents:
        document = [BOS, *tokens, EOS]
        for start in range(0, len(document), length):
            piece = document[start : start + length]
            row = next((row for row in rows if len(row.input_ids) + len(piece) <= length), None)
            if row is None:
                row = PackedRow()
                rows.append(row)
            row.add(piece)
            if len(row.input_ids) == length:
                rows.remove(row)
                yield row
            elif len(rows) > OPEN_ROWS:
                fullest = max(rows, key=lambda row: len(row.input_ids))
                rows.remove(fullest)
                yield fullest
    yield from rows
