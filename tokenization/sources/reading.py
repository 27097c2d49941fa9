"""One slice of a file: which format and compression it has, and what happens when it cannot be read to its end."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
from fsspec.core import OpenFile
from fsspec.utils import infer_compression

from tokenization.quarantine import Rejected
from tokenization.sources.lines import json_lines, paragraph_blocks
from tokenization.sources.listing import Slice, is_there
from tokenization.sources.parquet import parquet
from tokenization.sources.source import Source

_JSON_LINES = (".jsonl", ".json", ".ndjson")


def read_slice(source: Source, part: Slice) -> Iterator[str | Rejected]:
    """Parquet and JSON lines by `text_column`, anything else as plain text; compression is told by the ending.

    Damage and loss of the file end the slice; what was read before is kept.
    """
    texts = 0
    try:
        fs, path = fsspec.url_to_fs(part.url)
        compression = infer_compression(path)
        with OpenFile(fs, path, "rb", compression) as stream:
            ending = path.lower()
            if compression:
                ending = ending.rpartition(".")[0]
            if ending.endswith(".parquet"):
                found = parquet(source, part, stream)
            elif ending.endswith(_JSON_LINES):
                found = json_lines(source, part, stream)
            else:
                found = paragraph_blocks(part, stream)
            for text in found:
                texts += isinstance(text, str)
                yield text
    except Exception as error:  # whatever a filesystem, a decompressor or a format raises
        reason = "unreadable" if is_there(part.url) else "gone"
        yield Rejected(part.url, f"after {texts:,} texts", reason, f"{type(error).__name__}: {error}")
