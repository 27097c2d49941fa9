"""Files compared with what was recorded when they were written."""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

import fsspec


class DamagedFile(ValueError):
    """A file is missing, or its bytes are not those that were recorded. The message names it."""


class FileRecord(NamedTuple):
    """What is known about a finished file."""

    size: int
    sha256: str


def sha256_of(url: str) -> str:
    """Digest of a file anywhere; FileNotFoundError where there is none."""
    with fsspec.open(url, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(url: str, recorded: FileRecord, name: str = "") -> None:
    """Raises DamagedFile unless the file at `url` is what was recorded; `name` is what to call it instead.

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
def _digest(url: str, version: str) -> str:
    """`version` is the filesystem's key for what lies there now: size, times or ETag."""
    return sha256_of(url)
