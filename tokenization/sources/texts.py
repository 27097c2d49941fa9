"""Read texts from every place that documents come from: packages, files at any fsspec URL, datasets of the hub.

A source is cut into pieces, which can be read independently, in any order and anywhere. A piece yields plain texts in a
stable order, and rejected input in its place. Cleaning, splitting and writing are the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.parsing import parser_of
from tokenization.packages.table import PACKAGES
from tokenization.quarantine import Rejected, excerpt, flaw, missing
from tokenization.sources.listing import Piece, pieces_of_files
from tokenization.sources.reading import read_rows
from tokenization.sources.seen import Seen
from tokenization.sources.source import Row, Source

_DAMAGED = re.compile("[\0\ud800-\udfff]")


def pieces(source: Source, left_out: list[str] | None = None) -> list[Piece]:
    """Return the pieces of the source, in its order: about `listing.PIECE_BYTES` of its files each. `left_out` gets the
    files that are there and not read.

    Raises SourceError if there is nothing to read, or if the source cannot be listed.
    """
    return [()] if source.kind == "package" else pieces_of_files(source, left_out)


def read(source: Source, piece: Piece, package: bytes = b"", seen: Seen | None = None) -> Iterator[str | Rejected]:
    """Yield every text of one piece in order, and a `Rejected` in the place of bad input. `package` is the content of
    the source's package. `seen` learns the formats and encodings of files.

    Whatever can be read is kept: damage ends with the row, line, row group or file that it is in. In a text, U+FFFD
    stands for a NUL or half a surrogate pair; cleaning drops the paragraphs that have it.
    """
    for row in _package(source, package) if source.kind == "package" else read_rows(source, piece, seen):
        if isinstance(row, Rejected):
            yield row
        else:
            yield from _texts(row)


def _package(source: Source, package: bytes) -> Iterator[Row]:
    for number, text in enumerate(parser_of(PACKAGES[source.name])(package)):
        yield Row(source.name, f"text {number}", {"text": text})


def _texts(row: Row) -> Iterator[str | Rejected]:
    """The text of a row, or why there is none; both if U+FFFD can stand where its damage is."""
    if "text" not in row.values:
        yield Rejected(row.file, row.place, *missing("text", row.values))
        return
    text = row.values["text"]
    if bad := flaw(text):
        yield Rejected(row.file, row.place, *bad, excerpt(text))
        text = _DAMAGED.sub("\ufffd", text) if isinstance(text, str) else text
    if not flaw(text):
        yield text
