"""Tell the compression of a file by its ending, and read its content.

Arrow decodes the formats that fsspec has no codec for. Unlike the usual streams of these formats it raises an error if
a file ends too early.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.core import OpenFile
from fsspec.utils import infer_compression

_ARROW = {"zst": "zstd", "zstd": "zstd", "lz4": "lz4", "br": "brotli"}  # ending -> codec


def is_compressed(path: str) -> bool:
    """Return whether the file is compressed, so that it can only be read from its beginning."""
    return bool(_arrow_codec(path) or infer_compression(path))


@contextmanager
def seekable(fs: AbstractFileSystem, path: str) -> Generator[IO[bytes]]:
    """Open the content for reading at any place. A compressed file is unpacked to the local disk first."""
    with decompressed(fs, path) as stream:
        if not is_compressed(path):
            yield stream
            return
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file, 1 << 20)
            file.seek(0)
            yield file


@contextmanager
def decompressed(fs: AbstractFileSystem, path: str) -> Generator[IO[bytes]]:
    """Open the content for reading from the beginning. Reading raises if the file is damaged or cut off."""
    codec = _arrow_codec(path)
    with OpenFile(fs, path, "rb", None if codec else infer_compression(path)) as stream:
        yield io.BufferedReader(pa.CompressedInputStream(stream, codec)) if codec else stream


def _arrow_codec(path: str) -> str | None:
    return _ARROW.get(path.lower().rpartition(".")[2])
