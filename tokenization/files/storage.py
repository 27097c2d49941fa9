"""Write whole files on local disks and object stores: a file is complete under its name, or absent.

On a local disk a file is written under a temporary name, synced, then renamed. An object store cannot rename. There an
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

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the errors of a full disk
MAKE_ROOM = "make room, then run the same command again: it goes on from what is whole"
_TEMPORARY = ".tmp"
_memory_lock = threading.Lock()  # a memory:// filesystem lives in one process


class Output(io.RawIOBase):
    """A file that is only written. It counts its bytes and computes their digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self.sha256 = 0, hashlib.sha256()

    def writable(self) -> bool:
        """Always true."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes. Returns how many were written."""
        self.sha256.update(data)
        written = self._file.write(data)
        self.size += written
        return written


@contextmanager
def appearing(url: str) -> Generator[Output]:
    """Open a file that appears whole under its name when the block ends, and not at all if the block raises."""
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
    """Let `fill` write a file that appears whole under its name. Returns its size in bytes and its sha256."""
    with appearing(url) as file:
        fill(cast("BinaryIO", file))
    return file.size, file.sha256.hexdigest()


def write(url: str, data: bytes) -> None:
    """Write a file that fits into memory, over what was there."""
    fs, path = fsspec.url_to_fs(url)
    replace(fs, path, data)


def write_json(url: str, value: Mapping[Any, Any]) -> None:
    """Write a small file of canonical JSON, over what was there."""
    write(url, encoded(value, indent=1, sort_keys=True) + b"\n")


def encoded(value: Mapping[Any, Any], **layout: Any) -> bytes:
    """Return JSON in UTF-8. Names of files that are not UTF-8 have half surrogate pairs, which JSON can only escape."""
    return json.dumps(value, ensure_ascii=False, **layout).encode("utf-8", "backslashreplace")


def replace(fs: AbstractFileSystem, path: str, data: bytes) -> None:
    """Do what `write` does, on a filesystem that the caller has opened."""
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data)
        return
    with _finished(path, data) as whole:
        os.replace(whole, path)


def create(fs: AbstractFileSystem, path: str, data: bytes) -> bool:
    """Create a file exclusively: if several callers try at once, exactly one gets True, and the others change nothing.

    On a local disk a finished file is hard-linked to its name; S3 has a conditional PUT. fsspec's own "create" mode is
    not enough, since it first looks and then writes.
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
    except OSError as error:
        # s3fs says FileExistsError only of servers that name the condition in their answer, as that of AWS does
        if error_code(error) not in ("PreconditionFailed", "412"):
            raise
        return False
    return True


def error_code(error: OSError) -> str:
    """The code in the answer of an S3 server that made s3fs raise this, empty if there was none."""
    answer = getattr(error.__cause__, "response", None) or {}
    return answer.get("Error", {}).get("Code", "")


def read(url: str) -> bytes | None:
    """Return the content of the file, or None if there is none."""
    fs, path = fsspec.url_to_fs(url)
    try:
        return fs.cat_file(path)
    except FileNotFoundError:
        return None


def remove(url: str) -> None:
    """Remove a file, or a folder with all that is in it. Does nothing if there is none."""
    fs, path = fsspec.url_to_fs(url)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def remove_leftovers(url: str) -> None:
    """Remove temporary files below the folder `url` whose writers were killed."""
    fs, folder = fsspec.url_to_fs(url)
    if isinstance(fs, LocalFileSystem):
        for path in Path(folder).rglob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)


@contextmanager
def temporary(folder: str | Path, name: str) -> Generator[Path]:
    """Give a hidden path in a local folder for a file that will be called `name`. The folder is made, and what still
    lies at the path when the block ends is removed.

    Create the file with `open`, which follows the umask: `tempfile` lets only the owner read its files.
    """
    path = Path(folder, f".{name}.{uuid.uuid4().hex}{_TEMPORARY}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _finished(path: str, data: bytes) -> Generator[Path]:
    """Give a complete and synced file beside the local `path`, ready to be renamed or linked."""
    with temporary(*os.path.split(path)) as whole:
        with _synced(whole) as file:
            file.write(data)
        yield whole


@contextmanager
def _synced(path: Path) -> Generator[BinaryIO]:
    """Open a new file. It lies on the disk when the block ends."""
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
