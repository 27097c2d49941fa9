"""Write Arrow shards, each of which appears whole or not at all.

The format is the IPC *stream*: both `datasets.Dataset.from_file` and a memory map read it. `Dataset.from_file` refuses
the IPC file format.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from tokenization.files.storage import appearing
from tokenization.records import Split
from tokenization.shards.index import ShardRecord
from tokenization.shards.schema import SCHEMAS, Kind

BATCH_ROWS = 1024


class ShardWriter:
    """Writes one file, batch by batch, inside a `with` block. The file appears whole when the block ends, and not at
    all if the block raises; then `record` describes it. The same batches give the same bytes. `rows` were written."""

    record: ShardRecord

    def __init__(self, url: str, kind: Kind, split: Split = "train") -> None:
        self._url, self._split, self._schema = url, split, SCHEMAS[kind]
        self.rows = self._tokens = 0

    def __enter__(self) -> ShardWriter:
        with ExitStack() as stack:
            self._file = stack.enter_context(appearing(self._url))
            self._stream = stack.enter_context(pa.ipc.new_stream(self._file, self._schema))
            self._stack = stack.pop_all()
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows in the schema of the kind."""
        for start in range(0, batch.num_rows, BATCH_ROWS):
            self._stream.write_batch(batch.slice(start, BATCH_ROWS))
        self.rows += batch.num_rows
        self._tokens += _token_count(batch)

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        described = self._file.size, self._file.sha256.hexdigest()
        self.record = ShardRecord(os.path.basename(self._url), self._split, self.rows, self._tokens, *described)


def write_shard(url: str, kind: Kind, rows: Iterable[Mapping[str, Any]], split: Split = "train") -> ShardRecord:
    """Write all rows to one file and describe the file. The same rows give the same bytes."""
    rows = iter(rows)
    with ShardWriter(url, kind, split) as writer:
        while chunk := list(itertools.islice(rows, BATCH_ROWS)):
            writer.write(pa.RecordBatch.from_pylist(chunk, schema=SCHEMAS[kind]))
    return writer.record


def _token_count(batch: pa.RecordBatch) -> int:
    if "interactions" in batch.schema.names:
        ids = batch.column("interactions").flatten().field("input_ids")
    else:
        ids = batch.column("input_ids")
    return len(ids.flatten())
