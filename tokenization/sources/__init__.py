"""One interface to every place documents come from: packages, files on any fsspec URL, datasets of the hub.

A source is cut into pieces that can be read independently, in whatever order and wherever; a piece yields plain texts
in a stable order, and between them what was rejected. Cleaning, splitting and writing are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenization.extract import EXTRACTORS
from tokenization.quarantine import Rejected, excerpt, flaw
from tokenization.sources.listing import Piece, pieces_of_dataset, pieces_of_files
from tokenization.sources.reading import read_slice
from tokenization.sources.source import Source, SourceError

__all__ = ["Piece", "Source", "SourceError", "pieces", "read"]


def pieces(source: Source) -> list[Piece]:
    """The parts that the source is read in, in its order: about `listing.PIECE_BYTES` of its files each.

    Raises SourceError where there is nothing to read or it cannot be listed.
    """
    kinds = {"package": lambda _: [()], "files": pieces_of_files, "hub": pieces_of_dataset}
    return kinds[source.kind](source)


def read(source: Source, piece: Piece) -> Iterator[str | Rejected]:
    """Every text of one piece, in its own order, and in the place of bad input what is known about it.

    Whatever can be read is kept; damage ends with the row, line, row group or file that it is in.
    """
    if source.kind == "package":
        yield from _package(source)
    for part in piece:
        yield from read_slice(source, part)


def _package(source: Source) -> Iterator[str | Rejected]:
    for number, text in enumerate(EXTRACTORS[source.name].parse(source.package)):
        if bad := flaw(text):
            yield Rejected(source.name, f"text {number}", *bad, excerpt(text))
        else:
            yield text
