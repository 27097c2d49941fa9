"""Compare files with what was recorded when they were written."""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

import fsspec


class DamagedFile(ValueError):
    """A file is missing, or its bytes differ from the record. The message names the file."""


class FileRecord(NamedTuple):
    """The size in bytes and the digest of a finished file."""

    size: int
    sha256: str


def sha256_of(url: str) -> str:
    """Return the digest of a file at any fsspec URL. Raises FileNotFoundError."""
    with fsspec.open(url, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(url: str, recorded: FileRecord, name: str = "") -> None:
    """Raise DamagedFile unless the file at `url` equals its record. Messages call it `name`, if given.

    Each process hashes a file once, as long as it does not change.
    """
    name = name or url
    fs, path = fsspec.url_to_fs(url)
    try:
        found = fs.size(path)
        if found != recorded.size:
            raise DamagedFile(f"{name} is truncated or damaged: {found} bytes, {recorded.size} recorded")
        digest = _digest(url, fs.ukey(path))
    except FileNotFoundError as error:
        raise DamagedFile(f"{name} is missing") from error
    if digest != recorded.sha256:
        raise DamagedFile(f"{name} is damaged: sha256 {digest[:12]}…, {recorded.sha256[:12]}… recorded")


@functools.lru_cache(maxsize=100_000)
def _digest(url: str, _version: str) -> str:
    """Hash a file. `_version` is the filesystem's key for its present content (size, times or ETag), for the cache."""
    return sha256_of(url)
