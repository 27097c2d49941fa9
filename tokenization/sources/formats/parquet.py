"""Read rows of a Parquet file's row groups: only the named columns, and only the named fields of structs in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenization.batching import BATCH_BYTES
from tokenization.quarantine import Reason, Rejected, excerpt, missing, none_read, twice
from tokenization.sources.listing import Slice, is_there
from tokenization.sources.source import Columns, Row

_ROWS = 1024  # decoded at once; fewer if they have more than BATCH_BYTES together
_AS_TEXT = {pa.binary(): pa.string(), pa.large_binary(): pa.large_string(), pa.binary_view(): pa.string_view()}
_TEXT, _NULLS = "STRING", "UNKNOWN"  # Parquet's names for the content of leaf columns


def parquet(columns: Columns, part: Slice, stream: IO[bytes], _: Any) -> Iterator[Row | Rejected]:
    """Yield rows of the row groups that begin in the slice. A damaged page costs the rest of its row group.

    A file is rejected as a whole if it lacks a required column, or has two, or if the column holds no text.
    """
    file = pq.ParquetFile(stream, page_checksum_verification=True)
    leaves = [leaf for n in range(len(file.schema)) if _is_read(columns, leaf := file.schema.column(n))]
    with_text = {_column(leaf) for leaf in leaves if leaf.logical_type.type in (_TEXT, _NULLS) or _is_binary(leaf)}
    if lacking := sorted(columns.required - with_text):
        if not part.start:
            yield Rejected(part.url, "the whole", *_lack(lacking[0], file.schema_arrow))
        return
    names = file.schema_arrow.names
    if bad := none_read(columns.fields, names) or twice(columns.fields, names):
        if not part.start:
            yield Rejected(part.url, "the whole", *bad)
        return
    first = 0
    for group in range(file.num_row_groups):
        footer = file.metadata.row_group(group)
        if part.start <= _begin(footer) < (part.stop or float("inf")):
            yield from _group(part, file, group, first, [leaf.path for leaf in leaves])
        first += footer.num_rows


def _is_read(columns: Columns, leaf: pq.ColumnSchema) -> bool:
    named = leaf.name in columns.fields or leaf.logical_type.type == _NULLS  # if all lists are empty, no field is named
    named = named or not columns.whole.isdisjoint(leaf.path.split("."))
    return named and _column(leaf) in columns.fields


def _is_binary(leaf: pq.ColumnSchema) -> bool:
    """Whether a column holds bytes, as Spark and Impala write text if they are told to."""
    return leaf.logical_type.type == "NONE" and leaf.physical_type == "BYTE_ARRAY" and leaf.path == leaf.name


def _column(leaf: pq.ColumnSchema) -> str:
    return leaf.name if leaf.name == leaf.path else leaf.path.partition(".")[0]  # a column's name may hold a point


def _lack(name: str, schema: pa.Schema) -> tuple[Reason, str]:
    if name in schema.names:
        return "no column", f"{name!r} of text; it holds {schema.field(name).type}"
    return missing(name, schema.names)


def _begin(footer: pq.RowGroupMetaData) -> int:
    chunk = footer.column(0)
    return min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)


def _group(part: Slice, file: pq.ParquetFile, group: int, first: int, paths: list[str]) -> Iterator[Row | Rejected]:
    footer = file.metadata.row_group(group)
    row, end = first, first + footer.num_rows
    try:
        for batch in file.iter_batches(_rows_at_once(footer, paths), [group], paths):
            for found in rows_of(part.url, batch, row):
                yield found
                row += 1
    except (OSError, pa.ArrowException) as error:
        if not is_there(part.url):
            raise
        yield Rejected(part.url, f"rows {row} to {end - 1}", "unreadable", f"row group {group}: {error}")


def _rows_at_once(footer: pq.RowGroupMetaData, paths: list[str]) -> int:
    """Return the number of rows to decode at once, by the mean size of a row."""
    columns = map(footer.column, range(footer.num_columns))
    size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in paths)
    return max(1, min(_ROWS, BATCH_BYTES * footer.num_rows // max(1, size)))


def rows_of(url: str, batch: pa.RecordBatch, first: int) -> Iterator[Row | Rejected]:
    """Yield the rows of a batch, which begins at row `first` of its file. Columns of bytes are text. If some text in it
    is not UTF-8, they are decoded one by one."""
    columns = [column.view(_AS_TEXT[column.type]) if column.type in _AS_TEXT else column for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        for number, values in enumerate(batch.to_pylist(), first):
            yield Row(url, f"row {number}", values)
    except UnicodeDecodeError as error:
        if len(batch) == 1:
            yield Rejected(url, f"row {first}", "not UTF-8", f"byte {error.start} of the text", excerpt(error.object))
        else:
            for number in range(len(batch)):
                yield from rows_of(url, batch.slice(number, 1), first + number)
