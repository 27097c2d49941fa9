"""Whole files on local disks and object stores alike: complete under their name, or absent.

On a local disk a file is written under a temporary name, synced, then renamed. An object store cannot rename: there an
object is written once under its final name, and the store shows it only when it is complete.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk says
_TEMPORARY = ".tmp"
_memory_lock = threading.Lock()  # memory:// lives in one process


class Output(io.RawIOBase):
    """A file that is only written, with the size and the digest of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self.sha256 = 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        written = self._file.write(data)
        self.size += written
        return written


@contextmanager
def appearing(url: str) -> Generator[Output]:
    """A file that appears under its name as a whole when the block ends, and not at all when the block raises."""
    fs, path = fsspec.url_to_fs(url)
    is_local = isinstance(fs, LocalFileSystem)
    folder, name = os.path.split(path)
    with temporary(folder if is_local else tempfile.gettempdir(), name) as unfinished:
        with _synced(unfinished) as file:
            yield Output(file)
        if is_local:
            os.replace(unfinished, path)
        else:
            fs.put_file(str(unfinished), path)


def publish(url: str, fill: Callable[[BinaryIO], Any]) -> tuple[int, str]:
    """The file that `fill` writes appears under its name as a whole. Returns its size in bytes and its sha256."""
    with appearing(url) as file:
        fill(cast("BinaryIO", file))
    return file.size, file.sha256.hexdigest()


def write(url: str, data: bytes) -> None:
    """A file that fits into memory, over what was there."""
    fs, path = fsspec.url_to_fs(url)
    replace(fs, path, data)


def write_json(url: str, value: Mapping[str, Any]) -> None:
    """A small file of canonical JSON, over what was there."""
    write(url, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def replace(fs: AbstractFileSystem, path: str, data: bytes) -> None:
    """`write`, for who has the filesystem at hand."""
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data)
        return
    with _finished(path, data) as whole:
        os.replace(whole, path)


def create(fs: AbstractFileSystem, path: str, data: bytes) -> bool:
    """Exclusive: of several that try at once, exactly one gets True; the others change nothing.

    That takes a hard link of a finished file on local disks and a conditional PUT on S3: fsspec's own "create" mode
    looks first and writes then.
    """
    try:
        if isinstance(fs, LocalFileSystem):
            with _finished(path, data) as whole:
                os.link(whole, path)
        elif isinstance(fs, MemoryFileSystem):
            with _memory_lock:
                fs.pipe_file(path, data, mode="create")
        else:
            fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    return True


def read(url: str) -> bytes | None:
    """The whole file, or None if there is none."""
    fs, path = fsspec.url_to_fs(url)
    try:
        return fs.cat_file(path)
    except FileNotFoundError:
        return None


def remove(url: str) -> None:
    """A file, or a folder with all that is in it; nothing if there is none."""
    fs, path = fsspec.url_to_fs(url)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def remove_leftovers(url: str) -> None:
    """Temporary files below the folder `url` whose writers were killed."""
    fs, folder = fsspec.url_to_fs(url)
    if isinstance(fs, LocalFileSystem):
        for path in Path(folder).rglob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)


@contextmanager
def temporary(folder: str | Path, name: str) -> Generator[Path]:
    """A hidden path in a local folder, which is made, for a file that will be called `name`. What still lies at that
    path when the block ends is removed.

    The file is to be made with `open`: `tempfile` makes files for their owner alone, but who may read a result is what
    the umask says.
    """
    path = Path(folder, f".{name}.{uuid.uuid4().hex}{_TEMPORARY}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _finished(path: str, data: bytes) -> Generator[Path]:
    """A complete file beside the local `path`, on the disk, ready to be renamed or linked."""
    with temporary(*os.path.split(path)) as whole:
        with _synced(whole) as file:
            file.write(data)
        yield whole


@contextmanager
def _synced(path: Path) -> Generator[BinaryIO]:
    """A new file, which lies on the disk when the block ends."""
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
