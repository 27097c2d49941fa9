"""Character vectors from an R package's lazy-load data base (`Rdata.rdb`), without R.

The file is a row of objects: their serialised length (4 bytes, big-endian), then the zlib-compressed serialisation
(XDR, versions 2 and 3; see "R Internals", section 1.8).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

_CHARSXP, _STRSXP = 9, 16
_LATIN1 = 1 << 14  # a CHARSXP's encoding mark


def character_vectors(data_base: bytes) -> Iterator[list[str]]:
    """Every object that is a plain character vector, in file order; NA becomes an empty string."""
    while data_base:
        unpack = zlib.decompressobj()
        serialised = unpack.decompress(data_base[4:])
        data_base = unpack.unused_data
        stream = io.BytesIO(serialised)
        _skip_header(stream)
        if _integer(stream) & 0xFF == _STRSXP:
            yield [_string(stream) for _ in range(_integer(stream))]


def _skip_header(stream: io.BytesIO) -> None:
    if stream.read(2) != b"X\n":
        raise ValueError("not an R serialisation in XDR format")
    version = _integer(stream)
    stream.read(8)  # the versions of R that wrote it and that can read it
    if version >= 3:
        stream.read(_integer(stream))  # name of the native encoding


def _string(stream: io.BytesIO) -> str:
    flags, length = _integer(stream), _integer(stream)
    if flags & 0xFF != _CHARSXP:
        raise ValueError(f"an R character vector holds an element of type {flags & 0xFF}")
    return "" if length < 0 else stream.read(length).decode("latin-1" if flags & _LATIN1 else "utf-8")


def _integer(stream: io.BytesIO) -> int:
    return struct.unpack(">i", stream.read(4))[0]
