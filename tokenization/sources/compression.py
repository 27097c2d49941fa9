"""Which compression a file has, told by its ending, and what is in it.

Arrow decodes what fsspec has no codec of its own for; unlike the usual streams of these formats it notices one that
ends too early.
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
    """Whether the file can only be read from its beginning on."""
    return bool(_arrow_codec(path) or infer_compression(path))


@contextmanager
def seekable(fs: AbstractFileSystem, path: str) -> Generator[IO[bytes]]:
    """The content of a file that is not read from its beginning on: of a compressed one on the local disk."""
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
    """The content. Reading raises where the file is damaged or cut off."""
    codec = _arrow_codec(path)
    with OpenFile(fs, path, "rb", None if codec else infer_compression(path)) as stream:
        yield io.BufferedReader(pa.CompressedInputStream(stream, codec)) if codec else stream


def _arrow_codec(path: str) -> str | None:
    return _ARROW.get(path.lower().rpartition(".")[2])
