"""Open files of any file system so that they behave as local ones.

File systems of fsspec differ: some files have no `readline` with a limit, some return fewer bytes than asked for, some
cannot seek. A buffered reader over `read` alone makes them equal.
"""

from __future__ import annotations

import io
import math
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from fsspec import AbstractFileSystem

BUFFER_BYTES = 1 << 20  # also how far a format or an encoding can be told ahead
_PART_BYTES = 1 << 13  # of a read; an error costs at most so much before it


class _Raw(io.RawIOBase):
    """Reads from whatever `open` gives. A read returns fewer bytes than asked for only at the end of the file, so what
    a reader sees ahead does not depend on the network. An error comes after the bytes that were read before it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._trouble: Exception | None = None
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        self._ended = False
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, into: Any) -> int:
        if self._trouble:
            raise self._trouble
        done = 0
        try:
            while done < len(into) and not self._ended:
                part = self._file.read(min(_PART_BYTES, len(into) - done))
                into[done : done + len(part)] = part
                done += len(part)
                self._ended = not part  # some warn if they are asked again
        except Exception as error:  # every filesystem and decompressor has exceptions of its own
            if not done:
                raise
            self._trouble = error
        return done


def buffered(file: Any) -> io.BufferedReader:
    """Wrap anything that has `read` as a buffered reader."""
    return io.BufferedReader(_Raw(file), BUFFER_BYTES)


def at_its_start(file: Any) -> io.BufferedReader:
    """Wrap a file that can seek, and begin at its first byte."""
    file.seek(0)
    return buffered(file)


@contextmanager
def opened(fs: AbstractFileSystem, path: str, start: int = 0) -> Generator[io.BufferedReader]:
    """Open a file for reading from byte `start` on. It may be unable to seek."""
    if file := _ranged(fs, path, start):
        with file:
            file.seek(start)
            yield buffered(file)
    else:
        with _streamed(fs, path) as file:
            stream = buffered(_Forward(file))
            skip(stream, start)
            yield stream


@contextmanager
def seekable(fs: AbstractFileSystem, path: str) -> Generator[IO[bytes]]:
    """Open a file for reading at any place. If only its beginning can be opened, it is copied to the local disk."""
    if file := _ranged(fs, path, -1):
        with file:
            file.seek(0)
            yield buffered(file)
    else:
        with _streamed(fs, path) as stream, unpacked(_Forward(stream)) as local:
            yield local


@contextmanager
def unpacked(stream: Any) -> Generator[IO[bytes]]:
    """Copy a stream to the local disk, and open the copy."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, BUFFER_BYTES)
        file.seek(0)
        yield file


def skip(stream: IO[bytes], most: float = math.inf) -> int:
    """Read up to `most` bytes and forget them. Returns how many there were."""
    done = 0
    while done < most and (part := stream.read(int(min(most - done, BUFFER_BYTES)))):
        done += len(part)
    return done


class _Forward:
    """Hides that a stream claims to seek."""

    def __init__(self, file: Any) -> None:
        self.read, self.tell = file.read, file.tell

    def seekable(self) -> bool:
        return False


def _ranged(fs: AbstractFileSystem, path: str, start: int) -> Any | None:
    """Open a file that can seek to `start` (-1: the last byte), or return None if there is only a stream. A web server
    is asked for the whole file if it is read from the beginning; not all servers know ranges."""
    if is_web(fs) and not start:
        return None
    try:
        file = fs.open(path, "rb")
        if not file.seekable():
            return None
        if is_web(fs):
            file.seek(start, 0 if start > 0 else 2)
            file.read(1)
    except ValueError:  # the server ignores ranges, or does not tell the size
        return None
    return file


def _streamed(fs: AbstractFileSystem, path: str) -> Any:
    return fs.open(path, "rb", block_size=0) if is_web(fs) else fs.open(path, "rb")


def is_web(fs: AbstractFileSystem) -> bool:
    """Return whether it is a web server."""
    return "http" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
