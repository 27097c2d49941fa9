"""Find the files that a path means: a file, a folder, or a pattern.

Names that exist are taken literally before they are taken as patterns, so blanks and brackets need no care. In a folder
and where a pattern matches a folder, all files in it count, at any depth, as Spark and Hive write them. Hidden files
(`.`), markers (`_SUCCESS`, `_metadata`), checksums and the notes that lie beside data are left out and listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from tokenization.sources.streams import is_web

_PATTERN = re.compile(r"[*?\[]")
_INDEX = re.compile(rb"<(?:title|h1)[^>]*>\s*(?:index of|directory listing)", re.IGNORECASE)
_NOTES = re.compile(
    r"(readme|license|licence|copying|notice|changelog|authors|citation)(\.(md|txt|rst|cff))?"
    r"|dataset_infos?\.json|dataset_dict\.json|state\.json|.*\.(crc|md5|sha\d+)",
    re.IGNORECASE,
)


_VERSION = ("ETag", "etag", "blob_id", "md5Hash", "Content-MD5", "Digest", "mtime", "LastModified", "Last-Modified",
            "last_modified", "updated", "ino")  # fmt: skip


class ListedFile(NamedTuple):
    """A file, with its size in bytes (0 if the file system does not tell), or one that is left out. `version` is
    another one if its content is; it is empty if the file system does not tell."""

    path: str
    size: int
    left_out: bool = False
    version: str = ""


def version_in(info: Mapping[str, Any]) -> str:
    """Return what the file system says that changes with the content of a file."""
    return " ".join(f"{name}={info[name]}" for name in _VERSION if info.get(name))


def find(fs: AbstractFileSystem, path: str) -> list[ListedFile]:
    """Return the files that `path` means, in the order of their names. Raises FileNotFoundError if it is not there and
    no pattern."""
    try:
        info = {"url": path} if is_web(fs) and path.endswith("/") else fs.info(path)
    except FileNotFoundError:
        if not _PATTERN.search(path):
            raise
        return sorted(set(_matching(fs, *_literal(fs, path))))
    if (is_web(fs) and _is_index(fs, path, info)) or _is_folder(fs, path, info):
        return sorted(_below(fs, path.rstrip("/")))
    return [ListedFile(path, int(info["size"] or 0), version=version_in(info))]


def is_left_out(path: str) -> bool:
    """Return whether a file with this path below a folder is hidden, a marker, or about other files."""
    names = path.split("/")
    return any(map(_is_hidden, names)) or bool(_NOTES.fullmatch(names[-1]))


def _literal(fs: AbstractFileSystem, path: str) -> tuple[str, list[str]]:
    """Return the longest beginning of a pattern that is a folder, and the parts of the pattern that follow."""
    parts = path.split("/")
    end = next(number for number, part in enumerate(parts) if _PATTERN.search(part))
    while end + 1 < len(parts) and parts[end] != "**" and fs.isdir("/".join(parts[: end + 1])):
        end += 1
    return "/".join(parts[:end]) or fs.root_marker, parts[end:]


def _matching(fs: AbstractFileSystem, folder: str, parts: list[str]) -> Iterator[ListedFile]:
    head, *rest = parts
    if head == "**":
        matches = re.compile(glob_translate("/".join(parts))).match
        for found in _below(fs, folder):
            below = found.path[len(folder) :].strip("/")
            if any(matches(below[:end]) for end in (*_ends_of_folders(below), len(below))):
                yield found
        return
    try:
        entries = fs.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for info in entries:
        path = info["name"].rstrip("/")
        name = path.rpartition("/")[2]
        if not fnmatchcase(name, head) or _sorts(fs, name):
            continue
        left_out = _is_hidden(name) and head[0] != name[0]
        if not _is_folder(fs, path, info):
            if not rest:
                yield ListedFile(path, info["size"] or 0, left_out, version_in(info))
        elif not left_out:
            yield from _matching(fs, path, rest) if rest else _below(fs, path)


def _below(fs: AbstractFileSystem, folder: str) -> Iterator[ListedFile]:
    """Yield all files in a folder, at any depth."""
    for path, info in _walk(folder) if isinstance(fs, LocalFileSystem) else fs.find(folder, detail=True).items():
        if not _sorts(fs, path.rpartition("/")[2]):
            yield ListedFile(path, info["size"] or 0, is_left_out(path[len(folder) :]), version_in(info))


def _walk(folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk through a local folder and those that links in it name, each once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.stat(root)
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        for name in names:
            path = f"{root}/{name}"
            try:
                found = os.stat(path)
                yield path, {"size": found.st_size, "mtime": found.st_mtime, "ino": found.st_ino}
            except OSError:  # a link to nothing, which is named when it is read
                yield path, {"size": 0}


def _is_folder(fs: AbstractFileSystem, path: str, info: Mapping[str, Any]) -> bool:
    return info["type"] == "directory" or (info["type"] != "file" and fs.isdir(path))  # a link may lead to one


def _is_index(fs: AbstractFileSystem, path: str, info: Mapping[str, Any]) -> bool:
    """Whether a web server answers with the index of a folder. It adds a slash to the folder's name, but so do servers
    of pages: only an index says so in its title."""
    if path.endswith("/"):
        return True
    with_slash = info.get("url", "") == f"{path}/"
    return with_slash and bool(_INDEX.search(fs.cat_file(path)))


def _sorts(fs: AbstractFileSystem, name: str) -> bool:
    """Whether a link in the index of a web server leads to the same index in another order, as Apache writes them."""
    return is_web(fs) and name.startswith("?")


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_")) and name not in (".", "..")


def _ends_of_folders(path: str) -> Iterator[int]:
    return (place for place, char in enumerate(path) if char == "/")
