"""List the files of a source and cut them into pieces of about equal size, from names and sizes alone.

Files are cut by bytes, Parquet too: a slice of a file has the row groups, lines or blocks that begin in it. So hundreds
of gigabytes are planned without opening a file, and the same files always give the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import fsspec

from tokenization.sources.compression import is_compressed
from tokenization.sources.source import Files, SourceError

PIECE_BYTES = 64 << 20  # as stored; about a minute of cleaning


@dataclass(frozen=True)
class Slice:
    """Bytes [start, stop) of the file at `url`, or to its end if `stop` is None. `size` is taken from the listing."""

    url: str
    start: int = 0
    stop: int | None = None
    size: int = 0


Piece = tuple[Slice, ...]


def slices(source: Files, most: int) -> list[Slice]:
    """Return the files in order, cut into slices of equal size if longer than `most` bytes. A compressed file is a
    stream and stays whole. Raises SourceError if there is no file."""
    found = []
    for url, size in _dataset(source) if source.kind == "hub" else _matching(source):
        count = 1 if is_compressed(url.partition("::")[0]) else max(1, -(-size // most))
        for start, stop in pairwise(size * i // count for i in range(count + 1)):
            found.append(Slice(url, start, stop if stop < size else None, stop - start))
    return found


def pieces_of_files(source: Files) -> list[Piece]:
    """Return pieces of at most PIECE_BYTES: slices of long files, and short files together."""
    pieces: list[list[Slice]] = []
    room = 0
    for part in slices(source, PIECE_BYTES):
        if part.size > room or not pieces:
            pieces.append([])
            room = PIECE_BYTES
        pieces[-1].append(part)
        room -= part.size
    return [tuple(piece) for piece in pieces]


def _matching(source: Files) -> list[tuple[str, int]]:
    """Return the files that match `path`, in the order of their names, with their sizes."""
    _, chained, outer = source.path.partition("::")
    try:
        fs, pattern = fsspec.url_to_fs(source.path)
        found = fs.glob(pattern, detail=True)
    except FileNotFoundError:
        raise SourceError(f"source {source.name}: no file matches {source.path}") from None
    except Exception as error:  # every filesystem has exceptions of its own
        raise SourceError(f"source {source.name}: cannot open {source.path}: {error}") from error
    sizes = {path: info["size"] or 0 for path, info in sorted(found.items()) if info["type"] == "file"}
    if not sizes:
        raise SourceError(f"source {source.name}: no file matches {source.path}")
    return [(f"{fs.unstrip_protocol(path)}{chained}{outer}", size) for path, size in sizes.items()]


def _dataset(source: Files) -> list[tuple[str, int]]:
    """Return the files of one part of a dataset, with their sizes, in the dataset's order, at the pinned revision.

    They are streamed as files and not through `datasets`. It casts all files to the columns of the first, and so fails
    if one file has a column of nulls and another has text in it.
    """
    import datasets  # takes seconds, and no other source needs it

    where = " ".join(filter(None, (source.path, source.subset, source.revision)))
    try:
        builder = datasets.load_dataset_builder(source.path, source.subset or None, revision=source.revision or None)
        files = builder.config.data_files or {}
        sizes = list(zip(urls := files.get(source.part, []), _sizes(urls), strict=True))
    except (OSError, ValueError, LookupError) as error:
        raise SourceError(f"source {source.name}: cannot read dataset {where}: {error}") from error
    if not sizes:
        there = ", ".join(f"'{part}'" for part in files) or "none"
        raise SourceError(f"source {source.name}: dataset {where} has no part {source.part!r}; there is {there}")
    return sizes


def is_there(url: str) -> bool:
    """Return whether the file can be found now. If the filesystem does not answer, it cannot."""
    try:
        fs, path = fsspec.url_to_fs(url)
        fs.invalidate_cache()
        return fs.exists(path)
    except Exception:  # every filesystem has exceptions of its own
        return False


def _sizes(urls: Iterable[str]) -> Iterator[int]:
    """Yield the size of each file, from one listing per folder instead of one request per file."""
    folders: dict[str, dict[str, int]] = {}
    for url in urls:
        fs, path = fsspec.url_to_fs(url)
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = {info["name"].rpartition("/")[2]: info["size"] for info in fs.ls(folder, detail=True)}
        yield folders[folder][name]
