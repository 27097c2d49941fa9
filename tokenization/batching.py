"""Texts a few at a time: never more than fit into memory, however long they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BATCH_TEXTS = 2_000
BATCH_BYTES = 4 << 20  # of UTF-8, in all texts of a batch but its last


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in order, at most BATCH_TEXTS together, and none after BATCH_BYTES."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text.encode())
        if len(batch) == BATCH_TEXTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
