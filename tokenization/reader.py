"""Random access to finished shards, and the order in which training sees their rows.

Order is a pure function of (seed, global sample index): a resumed run needs no reader state, and the number of workers
changes nothing.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from tokenization.fetch import cache_folder
from tokenization.records import Split
from tokenization.shards import ShardError, ShardRecord, read_index, sha256_of


class ShardReader:
    """The rows of one split, memory-mapped. Shards of an object store are copied to a local cache first.

    Opening compares every file with its recorded digest, once per process; ShardError names the file that differs.
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
        self._batches = [batch for record in records for batch in _map(_local_file(uri, record))]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, i: int) -> dict[str, Any]:
        """Row `i` as plain values: numbers, texts, lists, and dicts for nested records."""
        return self.rows([i])[0]

    def rows(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Rows in the order of `indices`. Raises IndexError outside 0..len-1."""
        found = []
        for i in indices:
            if not 0 <= i < len(self):
                raise IndexError(f"row {i} of {len(self)}")
            position = int(np.searchsorted(self._ends, i, side="right"))
            batch = self._batches[position]
            found.append(batch.slice(int(i) - int(self._ends[position]) + batch.num_rows, 1))
        return pa.Table.from_batches(found).to_pylist() if found else []


def global_batch(reader_len: int, seed: int, step: int, batch_size: int) -> np.ndarray:
    """Row indices of one global batch [batch_size]: sample `step * batch_size + i` of an endless sequence of epochs,
    each a permutation of all rows by (seed, epoch)."""
    if reader_len < 1:
        raise ValueError("there are no rows to draw from")
    samples = step * batch_size + np.arange(batch_size)
    epochs, positions = samples // reader_len, samples % reader_len
    batch = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        batch[chosen] = _permutation(reader_len, seed, int(epoch))[positions[chosen]]
    return batch


class Batches:
    """One reader's part of every global batch, as an endless iterator over lists of rows that knows where it is.

    Readers 0 to `readers` - 1 together get the rows of `global_batch`, whatever their number: reader r those at places
    r, r + readers, … of it. The state is that of all of them, so that another number of readers can go on.
    """

    def __init__(self, shards: ShardReader, seed: int, batch_size: int, reader: int = 0, readers: int = 1) -> None:
        if not 0 <= reader < readers:
            raise ValueError(f"reader {reader} of {readers}: they count from 0")
        self._shards, self._place = shards, slice(reader, None, readers)
        self._order = {"rows": len(shards), "seed": seed, "batch_size": batch_size}
        self._step = 0

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> list[dict[str, Any]]:
        rows = global_batch(len(self._shards), self._order["seed"], self._step, self._order["batch_size"])
        self._step += 1
        return self._shards.rows(rows[self._place])

    def state_dict(self) -> dict[str, int]:
        """Where to go on: global batches given so far, and what their order depends on."""
        return self._order | {"step": self._step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another iterator was. Raises ShardError for a state of another order."""
        for name, value in self._order.items():
            if state[name] != value:
                raise ShardError(f"the state is of an order with {name} = {state[name]}, this one has {value}")
        self._step = state["step"]


@functools.lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size)


def _map(path: str) -> list[pa.RecordBatch]:
    return pa.ipc.open_stream(pa.memory_map(path)).read_all().to_batches()


def _local_file(uri: str, record: ShardRecord) -> str:
    """Path of a verified local copy of the shard."""
    fs, folder = fsspec.url_to_fs(uri)
    source = f"{folder}/{record.file}"
    if not fs.exists(source):
        raise ShardError(f"{uri}/{record.file} is missing")
    if isinstance(fs, LocalFileSystem):
        _verify(source, record, f"{uri}/{record.file}")
        return source
    cache = cache_folder() / "shards"
    path = cache / f"{record.sha256}.arrow"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=cache)
        os.close(descriptor)
        try:
            fs.get_file(source, temporary)
            _verify(temporary, record, f"{uri}/{record.file}")
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    _verify(str(path), record, str(path))
    return str(path)


def _verify(path: str, record: ShardRecord, name: str) -> None:
    status = os.stat(path)
    if status.st_size != record.bytes:
        raise ShardError(f"{name} is truncated or damaged: {status.st_size} bytes, {record.bytes} recorded")
    digest = _digest(path, status.st_size, status.st_mtime_ns)
    if digest != record.sha256:
        raise ShardError(f"{name} is damaged: sha256 {digest[:12]}…, {record.sha256[:12]}… recorded")


@functools.lru_cache(maxsize=100_000)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    """Hashed once per process as long as the file does not change: size and time are part of the cache key."""
    return sha256_of(path)
