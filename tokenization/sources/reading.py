"""Read slices of files row by row: choose format and compression by the ending, and report a file that cannot be read
to its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import fsspec

from tokenization.files.storage import NO_SPACE
from tokenization.quarantine import Rejected
from tokenization.sources.compression import decompressed, is_compressed, seekable
from tokenization.sources.lines import json_lines, paragraph_blocks
from tokenization.sources.listing import Slice, is_there
from tokenization.sources.parquet import parquet
from tokenization.sources.source import Columns, Files, Row

_JSON_LINES = (".jsonl", ".json", ".ndjson")


def read_rows(source: Files, parts: Iterable[Slice]) -> Iterator[Row | Rejected]:
    """Yield rows of Parquet, JSON lines and, if the source takes it, plain text. The ending tells the compression.

    If a file is damaged or lost, its slice ends there; what was read before is kept.
    """
    for part in parts:
        yield from _slice(source.columns, part)


def _slice(columns: Columns, part: Slice) -> Iterator[Row | Rejected]:
    rows = 0
    try:
        fs, path = fsspec.url_to_fs(part.url)
        ending = path.lower()
        if is_compressed(path):
            ending = ending.rpartition(".")[0]
        is_parquet = ending.endswith(".parquet")
        with seekable(fs, path) if is_parquet else decompressed(fs, path) as stream:
            if is_parquet:
                found = parquet(columns, part, stream)
            elif ending.endswith(_JSON_LINES) or not columns.plain:
                found = json_lines(part, stream)
            else:
                found = paragraph_blocks(columns.plain, part, stream)
            for row in found:
                rows += isinstance(row, Row)
                yield row
    except Exception as error:  # filesystems, decompressors and formats raise many kinds
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise  # nothing is wrong with the file
        reason = "unreadable" if is_there(part.url) else "gone"
        yield Rejected(part.url, f"after {rows:,} rows", reason, f"{type(error).__name__}: {error}")
