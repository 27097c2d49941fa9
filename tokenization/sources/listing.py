"""Which files a source has, and how they are cut into pieces of about equal size. Only names and sizes are looked at.

Cutting goes by bytes, for Parquet too: a slice of a file has the row groups, lines or blocks that begin in it. So
hundreds of gigabytes are planned without opening a file, and the same files always give the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import fsspec
from fsspec.utils import infer_compression

from tokenization.sources.source import Source, SourceError

PIECE_BYTES = 64 << 20  # as stored; about a minute of cleaning


@dataclass(frozen=True)
class Slice:
    """Bytes [start, stop) of the file at `url`, to its end where `stop` is None."""

    url: str
    start: int = 0
    stop: int | None = None


Piece = tuple[Slice, ...]


def pieces_of_files(source: Source) -> list[Piece]:
    """Files that match `path`, in the order of their names."""
    inner, chained, outer = source.path.partition("::")
    try:
        fs, pattern = fsspec.url_to_fs(source.path)
        found = fs.glob(pattern, detail=True)
    except FileNotFoundError:
        found = {}
    except Exception as error:  # every filesystem has exceptions of its own
        raise SourceError(f"source {source.name}: cannot open {source.path}: {error}") from error
    sizes = {path: info["size"] or 0 for path, info in sorted(found.items()) if info["type"] == "file"}
    if not sizes:
        raise SourceError(f"source {source.name}: no file matches {source.path}")
    return _pieces((f"{fs.unstrip_protocol(path)}{chained}{outer}", size) for path, size in sizes.items())


def pieces_of_dataset(source: Source) -> list[Piece]:
    """Files of the `train` split of a dataset, in the dataset's order, at the pinned revision. They are streamed."""
    import datasets  # seconds of imports that no other source needs

    where = " ".join(filter(None, (source.path, source.subset, source.revision)))
    try:
        builder = datasets.load_dataset_builder(source.path, source.subset or None, revision=source.revision or None)
        files = (builder.config.data_files or {}).get("train", [])
        sizes = list(zip(files, _sizes(files), strict=True))
    except (OSError, ValueError, LookupError) as error:
        raise SourceError(f"source {source.name}: cannot read dataset {where}: {error}") from error
    if not sizes:
        raise SourceError(f"source {source.name}: dataset {where} has no files of a split 'train'")
    return _pieces(sizes)


def is_there(url: str) -> bool:
    """Whether the file can be found now; an address that does not answer has none."""
    try:
        fs, path = fsspec.url_to_fs(url)
        fs.invalidate_cache()
        return fs.exists(path)
    except Exception:  # every filesystem has exceptions of its own
        return False


def _sizes(urls: Iterable[str]) -> Iterator[int]:
    """One listing per folder instead of one request per file."""
    folders: dict[str, dict[str, int]] = {}
    for url in urls:
        fs, path = fsspec.url_to_fs(url)
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = {info["name"].rpartition("/")[2]: info["size"] for info in fs.ls(folder, detail=True)}
        yield folders[folder][name]


def _pieces(files: Iterable[tuple[str, int]]) -> list[Piece]:
    """Long files in slices of equal size; a compressed one is a stream and stays whole. Short ones together."""
    pieces: list[list[Slice]] = []
    room = 0
    for url, size in files:
        count = 1 if infer_compression(url.partition("::")[0]) else max(1, -(-size // PIECE_BYTES))
        cuts = [size * i // count for i in range(count)]
        for start, stop in zip(cuts, [*cuts[1:], None], strict=True):
            taken = (size if stop is None else stop) - start
            if taken > room or not pieces:
                pieces.append([])
                room = PIECE_BYTES
            pieces[-1].append(Slice(url, start, stop))
            room -= taken
    return [tuple(piece) for piece in pieces]
