"""Read JSON lines and plain text in bounded memory, however long a line is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, NamedTuple

from tokenization.quarantine import MOST_BYTES, Reason, Rejected, excerpt, flaw
from tokenization.sources.listing import Slice
from tokenization.sources.source import Row

BLOCK_BYTES = 1 << 20  # plain text without empty lines is cut here, at a line end
_BEGINNING, _CHUNK = 1_000, 1 << 20  # bytes of a line that is too long: kept at its beginning, skipped at once


class Line(NamedTuple):
    """`size` bytes at `offset`. If a line is longer than MOST_BYTES, `content` is only its beginning."""

    offset: int
    size: int
    content: bytes

    @property
    def whole(self) -> bool:
        """Whether `content` is the whole line."""
        return self.size == len(self.content)

    @property
    def blank(self) -> bool:
        """Whether the line holds nothing but white space."""
        return self.whole and not self.content.strip()


def json_lines(part: Slice, stream: IO[bytes]) -> Iterator[Row | Rejected]:
    """Yield the rows that begin in the slice. Blank lines are no rows."""
    for line in _lines(stream, part.start):
        if part.stop is not None and line.offset >= part.stop:
            return
        if not line.blank:
            place = f"byte {line.offset}"
            row = _object(line)
            yield Row(part.url, place, row) if isinstance(row, dict) else Rejected(part.url, place, *row)


def _object(line: Line) -> dict | tuple[Reason, str, str]:
    """Return the row, or why there is none (reason, detail, excerpt)."""
    text, bad = _decoded(line)
    if bad:
        return *bad, excerpt(line.content)
    try:
        row = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        return "not JSON", str(error), excerpt(line.content)
    return row if isinstance(row, dict) else ("not JSON", "not an object", excerpt(line.content))


def paragraph_blocks(column: str, part: Slice, stream: IO[bytes]) -> Iterator[Row | Rejected]:
    """Yield the blocks between blank lines, each as the `column` of a row, so that long files split and stream.

    A slice begins with the first block after a blank line in it, and its last block may end beyond it.
    """
    block: list[str] = []
    begin, size, inside = part.start, 0, not part.start

    def taken() -> Iterator[Row]:
        nonlocal size
        if block:
            yield Row(part.url, f"byte {begin}", {column: "".join(block)})
        block.clear()
        size = 0

    for line in _lines(stream, part.start):
        if line.blank:
            yield from taken()
            if part.stop is not None and line.offset >= part.stop:
                return
            inside = True
        elif inside:
            text, bad = _decoded(line)
            if bad or (bad := flaw(text)):
                yield Rejected(part.url, f"byte {line.offset}", *bad, excerpt(line.content))
                continue
            if size + line.size > BLOCK_BYTES:
                yield from taken()
            begin = begin if block else line.offset
            block.append(text)
            size += line.size
    yield from taken()


def _decoded(line: Line) -> tuple[str, tuple[Reason, str] | None]:
    if not line.whole:
        return "", ("too long", f"a line of {line.size:,} bytes")
    try:
        return line.content.decode(), None
    except UnicodeDecodeError as error:
        return "", ("not UTF-8", f"byte {error.start} of the line")


def _lines(stream: IO[bytes], start: int) -> Iterator[Line]:
    """Yield lines, from the first one that begins at or after byte `start`."""
    offset = start
    if start:
        stream.seek(start - 1)
        offset += _line(stream, start - 1).size - 1
    while (line := _line(stream, offset)).size:
        yield line
        offset += line.size


def _line(stream: IO[bytes], offset: int) -> Line:
    content = stream.readline(MOST_BYTES)
    size = len(content)
    if size == MOST_BYTES and not content.endswith(b"\n"):
        content = content[:_BEGINNING]
        while rest := stream.readline(_CHUNK):
            size += len(rest)
            if rest.endswith(b"\n"):
                break
    return Line(offset, size, content)
