"""The text column of a Parquet file's row groups; no other column is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from tokenization.quarantine import Rejected, excerpt, flaw
from tokenization.sources.lines import no_column
from tokenization.sources.listing import Slice, is_there
from tokenization.sources.source import Source

_ROWS = 1024  # decoded at once


def parquet(source: Source, part: Slice, stream: IO[bytes]) -> Iterator[str | Rejected]:
    """Texts of the row groups that begin in the slice. A damaged page costs the rest of its row group.

    A file without the column, or with one that holds no text, is rejected as a whole.
    """
    file = pq.ParquetFile(stream, page_checksum_verification=True)
    if trouble := _trouble(source, file.schema_arrow):
        if not part.start:
            yield Rejected(part.url, "the whole", "no column", trouble)
        return
    column = [file.metadata.schema.column(i).path for i in range(len(file.schema))].index(source.text_column)
    first = 0
    for group in range(file.num_row_groups):
        footer = file.metadata.row_group(group)
        if part.start <= _begin(footer, column) < (part.stop or float("inf")):
            yield from _group(source, part, file, group, first)
        first += footer.num_rows


def _trouble(source: Source, schema: pa.Schema) -> str:
    if source.text_column not in schema.names:
        return no_column(source, schema.names)
    kind = schema.field(source.text_column).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return "" if any(holds(value) for holds in text) else f"column {source.text_column!r} holds {kind}, not text"


def _begin(footer: pq.RowGroupMetaData, column: int) -> int:
    chunk = footer.column(column)
    return min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)


def _group(source: Source, part: Slice, file: pq.ParquetFile, group: int, first: int) -> Iterator[str | Rejected]:
    row, end = first, first + file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(_ROWS, [group], [source.text_column]):
            for value in _values(batch.column(0)):
                if isinstance(value, bytes):
                    yield Rejected(part.url, f"row {row}", "not UTF-8", "", excerpt(value))
                elif bad := flaw(value):
                    yield Rejected(part.url, f"row {row}", *bad, excerpt(value))
                else:
                    yield value
                row += 1
    except (OSError, pa.ArrowException) as error:
        if not is_there(part.url):
            raise
        yield Rejected(part.url, f"rows {row} to {end - 1}", "unreadable", f"row group {group}: {error}")


def _values(column: pa.Array) -> list[str | bytes | None]:
    """Texts; what is not valid UTF-8 comes as bytes."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        kind = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        return [_text(value) for value in column.cast(kind).to_pylist()]


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return value
