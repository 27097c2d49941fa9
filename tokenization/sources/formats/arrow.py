"""Read rows of Arrow's IPC files and streams, which `datasets` and Feather write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from tokenization.quarantine import Rejected, missing, none_read, twice
from tokenization.sources.formats.parquet import rows_of
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_MAGIC = b"ARROW1\0\0"
_ROWS = 1024  # made to Python objects at once


def arrow(columns: Columns, part: Slice, stream: IO[bytes], _: Any) -> Iterator[Row | Rejected]:
    """Yield the rows. A file is rejected as a whole if it lacks a required column, or has two. A stream is read in
    order."""
    is_file = stream.read(len(_MAGIC)) == _MAGIC
    stream.seek(0)
    reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
    if lacking := sorted(columns.required - set(reader.schema.names)):
        yield Rejected(part.url, "the whole", *missing(lacking[0], reader.schema.names))
        return
    if bad := none_read(columns.fields, reader.schema.names) or twice(columns.fields, reader.schema.names):
        yield Rejected(part.url, "the whole", *bad)
        return
    read = [name for name in reader.schema.names if name in columns.fields]
    first = 0
    for batch in map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader:
        for start in range(0, len(batch), _ROWS):
            yield from rows_of(part.url, batch.slice(start, _ROWS).select(read), first + start)
        first += len(batch)
