"""Read rows of finished shards in any order, and compute the order in which training sees them.

The order is a pure function of (seed, global sample index). So a resumed run needs nothing but the number of its step,
and the number of workers changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tokenization.files.cache import local_copy
from tokenization.files.integrity import DamagedFile, FileRecord
from tokenization.files.threads import map_threads
from tokenization.records import Split
from tokenization.shards.index import ShardError, ShardRecord, read_index


class ShardReader:
    """The rows of one split, memory-mapped. Shards on an object store are copied to a local cache first.

    Opening compares every file with its recorded digest, once per process, and so in each of several ranks on one
    machine. Raises ShardError, which names the file that differs.
    """

    def __init__(self, uri: str, split: Split) -> None:
        index = read_index(uri)
        records = [record for record in index.files if record.split == split]
        if not records:
            raise ShardError(f"{uri} holds no shard of the {split} split")
        self.kind = index.kind
        self.length = index.length
        self.tokenizer_digest = index.tokenizer_digest
        self.vocab_size = index.vocab_size
        files = map_threads(lambda record: _map(_local_file(uri, record)), records)
        self._batches = [batch for batches in files for batch in batches]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])
        self._edges = [_edges(batch) for batch in self._batches]

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, i: int) -> dict[str, Any]:
        """Return row `i` as plain values: numbers, texts, lists, and dicts for nested records."""
        return self.rows([i])[0]

    def rows(self, indices: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Return rows in the order of `indices`. Raises IndexError outside 0..len-1."""
        found = [self._batches[batch].slice(place, 1) for batch, place in self._places(indices)]
        return pa.Table.from_batches(found).to_pylist() if found else []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows as they lie in the shards, without making Python objects of them."""
        yield from self._batches

    def lengths(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Return, for each row, the number of tokens of each of its interactions; for a row of text, one number. They
        are differences of offsets of the Arrow lists, so no token is read. Raises IndexError outside 0..len-1."""
        found = []
        for batch, place in self._places(indices):
            interactions, tokens = self._edges[batch]
            first, last = (place, place + 1) if interactions is None else interactions[place : place + 2]
            found.append(np.diff(tokens[first : last + 1]))
        return found

    def _places(self, indices: Sequence[int] | np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield, for each row, the number of its batch and its place in the batch."""
        rows = np.asarray(indices, dtype=np.int64)
        if len(outside := rows[(rows < 0) | (rows >= len(self))]):
            raise IndexError(f"row {outside[0]} of {len(self)}")
        batches = np.searchsorted(self._ends, rows, side="right")
        starts = np.concatenate(([0], self._ends))[batches]
        return zip(batches.tolist(), (rows - starts).tolist(), strict=True)


def global_batch(reader_len: int, seed: int, step: int, batch_size: int) -> np.ndarray:
    """Return the row indices of one global batch [batch_size]. Its sample `i` is number `step * batch_size + i` of an
    endless sequence of epochs. Each epoch is a permutation of all rows by (seed, epoch)."""
    if reader_len < 1:
        raise ValueError("there are no rows to draw from")
    samples = step * batch_size + np.arange(batch_size)
    epochs, positions = samples // reader_len, samples % reader_len
    batch = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        batch[chosen] = _permutation(reader_len, seed, int(epoch))[positions[chosen]]
    return batch


def _edges(batch: pa.RecordBatch) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the offsets of the interactions of each row (None for rows of text), and the offsets of the tokens."""
    if "interactions" not in batch.schema.names:
        return None, batch.column("input_ids").offsets.to_numpy()
    interactions = batch.column("interactions")
    return interactions.offsets.to_numpy(), interactions.values.field("input_ids").offsets.to_numpy()


@functools.lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size)


def _map(path: str) -> list[pa.RecordBatch]:
    return pa.ipc.open_stream(pa.memory_map(path)).read_all().to_batches()


def _local_file(uri: str, record: ShardRecord) -> str:
    try:
        return local_copy(f"{uri}/{record.file}", FileRecord(record.bytes, record.sha256), "shards")
    except DamagedFile as error:
        raise ShardError(str(error)) from error
