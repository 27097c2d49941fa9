"""Beside each shard lies a table that says where its tokens come from, so that any of them can be traced."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenization.files.storage import appearing

FOLDER = "provenance"
_SCHEMA = pa.schema({
    "row": pa.int32(),
    "start": pa.int32(),
    "tokens": pa.int32(),
    "source": pa.dictionary(pa.int32(), pa.string()),
    "id": pa.string(),
    "offset": pa.int32(),
})  # fmt: skip


class Origin(NamedTuple):
    """Where `tokens` tokens of the row `row` from `start` on come from: the document or conversation `id` of `source`.
    `offset` is their first token's place in the document, without control tokens; in a dialogue, it is the number of
    the interaction."""

    row: int
    start: int
    tokens: int
    source: str
    id: str
    offset: int


class ProvenanceWriter:
    """Writes the table of the shard at a URL, inside a `with` block. It appears whole when the block ends."""

    def __init__(self, shard: str) -> None:
        self._url = provenance_url(shard)

    def __enter__(self) -> ProvenanceWriter:
        with ExitStack() as stack:
            file = stack.enter_context(appearing(self._url))
            self._writer = stack.enter_context(pq.ParquetWriter(file, _SCHEMA, compression="zstd"))
            self._stack = stack.pop_all()
        return self

    def write(self, columns: dict[str, Any]) -> None:
        """Write many origins: a column of equal length for each field of `Origin`."""
        columns["source"] = pa.array(columns["source"], pa.string()).dictionary_encode()
        self._writer.write_table(pa.table({name: columns[name] for name in _SCHEMA.names}, schema=_SCHEMA))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def provenance_url(shard: str) -> str:
    """Return where the table of the shard at this URL lies."""
    folder, _, name = shard.rpartition("/")
    return f"{folder}/{FOLDER}/{name.removesuffix('.arrow')}.parquet"


def origins_of(shard: str, row: int) -> list[Origin]:
    """Return the origins of one row of the shard at this URL, in its order."""
    with fsspec.open(provenance_url(shard), "rb") as file:
        table = pq.read_table(file, filters=pc.field("row") == row)
    return [Origin(**{name: one[name] for name in Origin._fields}) for one in table.to_pylist()]


def piece_columns(rows: pa.RecordBatch, first: int) -> dict[str, np.ndarray]:
    """Return the columns row, start, tokens and offset, and the number of the document, of all pieces in rows that were
    packed (`packing.pack`). `first` is the number of the first row in its shard."""
    starts = rows["document_starts"]
    row = np.repeat(np.arange(rows.num_rows), starts.value_lengths())
    place = starts.flatten().to_numpy()
    ends = np.append(place[1:], 0)
    last = np.append(row[1:] != row[:-1], True)
    ends[last] = rows["input_ids"].value_lengths().to_numpy()
    pieces = {"row": row + first, "start": place, "tokens": ends - place}
    return pieces | {name: rows[name].flatten().to_numpy() for name in ("document", "offset")}
