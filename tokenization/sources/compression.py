"""Tell the compression of a file by its first bytes, and read its content.

Arrow decodes the formats that fsspec has no codec for. Unlike the usual streams of these formats it raises an error if
a file ends too early.
"""

from __future__ import annotations

import io
import re

import pyarrow as pa
from fsspec.compression import compr
from fsspec.utils import infer_compression

from tokenization.sources.growth import Limited
from tokenization.sources.streams import buffered

_MAGIC = {
    "gzip": rb"\x1f\x8b\x08",
    "bz2": rb"BZh[1-9]1AY&SY",
    "xz": rb"\xfd7zXZ\x00",
    "zstd": rb"\x28\xb5\x2f\xfd",
    "lz4": rb"\x04\x22\x4d\x18",
}
_BY_ENDING = {"br": "brotli", "zst": "zstd", "zstd": "zstd", "lz4": "lz4"}
_BY_ARROW = ("brotli", "zstd", "lz4")


def by_name(name: str) -> str:
    """Return the compression that the name of a file promises, or an empty string."""
    codec = _BY_ENDING.get(name.lower().rpartition(".")[2]) or infer_compression(name) or ""
    return "" if codec == "zip" else codec  # which is an archive


def compression_of(name: str, head: bytes) -> str:
    """Return the compression of a file that begins like this, or an empty string. Brotli has no sign but its ending."""
    found = next((codec for codec, magic in _MAGIC.items() if re.match(magic, head)), "")
    promised = by_name(name)
    return found or (promised if promised not in _MAGIC else "")


def decompressed(stream: io.BufferedReader, codec: str) -> io.BufferedReader:
    """Return a reader of the content. Reading raises if the file is damaged or cut off, and GrowthError if the content
    is out of proportion to the file."""
    unpacking = pa.CompressedInputStream(stream, codec) if codec in _BY_ARROW else compr[codec](stream, mode="rb")
    return buffered(Limited(unpacking, stream.tell))


def without_ending(name: str) -> str:
    """Return the name of the content: that of the file without the ending of its compression."""
    return name.rpartition(".")[0] if by_name(name) else name
