"""Whole small files below an artifact, on local disks and object stores alike: complete under their name or absent."""

from __future__ import annotations

import os

import fsspec
from fsspec.implementations.local import LocalFileSystem


def put(uri: str, data: bytes) -> None:
    """Local disks get a temporary name and a rename; an object store shows an object only when it is complete."""
    fs, path = fsspec.core.url_to_fs(uri)
    fs.makedirs(os.path.dirname(path), exist_ok=True)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def get(uri: str) -> bytes | None:
    """The whole file, or None if there is none."""
    fs, path = fsspec.core.url_to_fs(uri)
    try:
        return fs.cat_file(path)
    except FileNotFoundError:
        return None


def remove(uri: str) -> None:
    """A file or a folder with all that is in it; nothing if there is none."""
    fs, path = fsspec.core.url_to_fs(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)
