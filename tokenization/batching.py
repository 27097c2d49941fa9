"""Group texts into batches that fit into memory, however long the texts are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BATCH_TEXTS = 2_000
BATCH_BYTES = 4 << 20  # of UTF-8; a batch ends with the text that reaches it


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in order. A batch ends at BATCH_TEXTS texts, or at the text that reaches BATCH_BYTES."""
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
