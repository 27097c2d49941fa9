"""Group texts into batches that fit into memory, however long the texts are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

BATCH_TEXTS = 2_000
BATCH_BYTES = 4 << 20  # of UTF-8; a batch ends with the text that reaches it


Item = TypeVar("Item")


def batches(items: Iterable[Item], text_of: Callable[[Item], str] = str) -> Iterator[list[Item]]:
    """Yield the items, each of which has a text, in order. A batch ends at BATCH_TEXTS items, or at the one with whose
    text it reaches BATCH_BYTES."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(text_of(item).encode())
        if len(batch) == BATCH_TEXTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
