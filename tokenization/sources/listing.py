"""List the files of a source and cut them into pieces of about equal size, from names and sizes alone.

Files are cut by bytes, Parquet too: a slice of a file has the row groups, lines or blocks that begin in it. So hundreds
of gigabytes are planned without opening a file, and the same files always give the same pieces.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any

from tokenization.files.chains import is_chain
from tokenization.sources.addresses import located
from tokenization.sources.compression import by_name
from tokenization.sources.folders import find, version_in
from tokenization.sources.sniffing import ending_format
from tokenization.sources.source import Files, Format, SourceError

PIECE_BYTES = 64 << 20  # as stored; about a minute of cleaning
PIECE_FILES = 1_000  # opening one in a store takes up to a tenth of a second


@dataclass(frozen=True)
class Slice:
    """Bytes [start, stop) of the file at `url`, or to its end if `stop` is None. `size` is taken from the listing, and
    so is `version`, which is another one if the content of the file is; it is empty if nothing tells."""

    url: str
    start: int = 0
    stop: int | None = None
    size: int = 0
    version: str = ""


Piece = tuple[Slice, ...]


def is_cut(format: Format | None, source: Files) -> bool:
    """Return whether a slice of a file of this format can be read without what is before it. If the format is not
    known before the file is opened, its first slice has all of it in the end."""
    if format == "text":
        return source.wanted.split_by != "document"
    return format in (None, "jsonl", "json", "parquet")  # many files of lines end in .json


def slices(source: Files, most: int, left_out: list[str] | None = None) -> list[Slice]:
    """Return the files in order, cut into slices of equal size if longer than `most` bytes. A compressed file is a
    stream and stays whole. `left_out` gets the files that are there and not read. Raises SourceError if there is no
    file."""
    found = []
    skipped: list[str] = []
    for url, size, version in _dataset(source) if source.kind == "hub" else _at_path(source, skipped):
        name = name_of(url)
        whole = by_name(name) or not is_cut(source.format or ending_format(name), source)
        count = 1 if whole else max(1, -(-size // most))
        for start, stop in pairwise(size * i // count for i in range(count + 1)):
            found.append(Slice(url, start, stop if stop < size else None, stop - start, version))
    if left_out is not None:
        left_out += skipped
    return found


def pieces_of_files(source: Files, left_out: list[str] | None = None) -> list[Piece]:
    """Return pieces of at most PIECE_BYTES: slices of long files, and up to PIECE_FILES short files together."""
    pieces: list[list[Slice]] = []
    room = 0
    for part in slices(source, PIECE_BYTES, left_out):
        if part.size > room or not pieces or len(pieces[-1]) == PIECE_FILES:
            pieces.append([])
            room = PIECE_BYTES
        pieces[-1].append(part)
        room -= part.size
    return [tuple(piece) for piece in pieces]


def name_of(url: str) -> str:
    """Return the name of the file at a URL, without what follows a question mark on the web."""
    path = url.partition("::")[0] if is_chain(url) else url
    if path.startswith(("http://", "https://")):
        path = path.partition("?")[0].partition("#")[0]
    return path.rpartition("/")[2]


def _at_path(source: Files, left_out: list[str]) -> list[tuple[str, int, str]]:
    """Return the files that `path` means, in the order of their names, with their sizes and versions."""
    _, chained, outer = source.path.partition("::") if is_chain(source.path) else ("", "", "")
    try:
        fs, path = located(source.path)
        found = find(fs, path + "/" * (source.path.endswith("/") and not path.endswith("/")))
    except FileNotFoundError as error:
        raise SourceError(f"source {source.name}: {_not_found(source.path, error.__cause__)}") from None
    except Exception as error:  # every filesystem has exceptions of its own
        raise SourceError(f"source {source.name}: cannot open {source.path}: {error}") from error
    left_out += [one.path for one in found if one.left_out]
    there = [one for one in found if not one.left_out]
    if there:
        return [(f"{fs.unstrip_protocol(one.path)}{chained}{outer}", one.size, one.version) for one in there]
    hidden = f"; {len(left_out)} are hidden or about other files, such as {left_out[0]}" if left_out else ""
    raise SourceError(f"source {source.name}: {_not_found(source.path)}{hidden}")


def _not_found(path: str, cause: BaseException | None = None) -> str:
    """Return what to tell of a path with no file. A relative one is looked for in the working folder. A web server that
    does not say that the file is missing has other trouble, which its status names."""
    status = getattr(cause, "status", None)
    if status == 0:
        return f"cannot open {path}: the server sends from one address to another without end"
    if status not in (None, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return f"cannot open {path}: the server answers {status} {getattr(cause, 'message', '')}".rstrip()
    where = "" if "://" in path or os.path.isabs(path) else f" in {os.getcwd()}"
    return f"no file matches {path}{where}{f': {cause}' if cause else ''}"


def _dataset(source: Files) -> list[tuple[str, int, str]]:
    """Return the files of one part of a dataset, with their sizes and versions, in the dataset's order, at the pinned
    revision.

    They are streamed as files and not through `datasets`. It casts all files to the columns of the first, and so fails
    if one file has a column of nulls and another has text in it.
    """
    import datasets  # takes seconds, and no other source needs it

    where = " ".join(filter(None, (source.path, source.subset, source.revision)))
    try:
        builder = datasets.load_dataset_builder(source.path, source.subset or None, revision=source.revision or None)
        files = builder.config.data_files or {}
        urls = files.get(source.part, [])
        found = [(url, info["size"], version_in(info)) for url, info in zip(urls, _listed(urls), strict=True)]
    except (OSError, ValueError, LookupError) as error:
        raise SourceError(f"source {source.name}: cannot read dataset {where}: {error}") from error
    if not found:
        there = ", ".join(f"'{part}'" for part in files) or "none"
        raise SourceError(f"source {source.name}: dataset {where} has no part {source.part!r}; there is {there}")
    return found


def is_there(url: str) -> bool:
    """Return whether the file can be found now. If the filesystem does not answer, it cannot."""
    try:
        fs, path = located(url)
        fs.invalidate_cache()
        return fs.exists(path)
    except Exception:  # every filesystem has exceptions of its own
        return False


def _listed(urls: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield what is known about each file, from one listing per folder instead of one request per file."""
    folders: dict[str, dict[str, Mapping[str, Any]]] = {}
    for url in urls:
        fs, path = located(url)
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = {info["name"].rpartition("/")[2]: info for info in fs.ls(folder, detail=True)}
        yield folders[folder][name]
