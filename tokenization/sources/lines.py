"""JSON lines and plain text, in bounded memory whatever the length of a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, NamedTuple

from tokenization.quarantine import MOST_BYTES, Rejected, excerpt, flaw
from tokenization.sources.listing import Slice
from tokenization.sources.source import Source

BLOCK_BYTES = 1 << 20  # plain text without empty lines is cut here, at a line end
_BEGINNING, _CHUNK = 1_000, 1 << 20  # bytes of a line that is too long: what is kept, what is skipped at once
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """`size` bytes at `offset`. `content` is only the beginning of a line longer than MOST_BYTES."""

    offset: int
    size: int
    content: bytes

    @property
    def whole(self) -> bool:
        return self.size == len(self.content)

    @property
    def blank(self) -> bool:
        return self.whole and not self.content.strip()


def json_lines(source: Source, part: Slice, stream: IO[bytes]) -> Iterator[str | Rejected]:
    """The text column of the rows that begin in the slice. Empty lines are no rows."""
    for line in _lines(stream, part.start):
        if part.stop is not None and line.offset >= part.stop:
            return
        if not line.blank:
            value = _value(source, line)
            yield Rejected(part.url, f"byte {line.offset}", *value) if isinstance(value, tuple) else value


def _value(source: Source, line: Line) -> str | tuple:
    """The row's text, or why there is none (reason, detail, excerpt)."""
    if not line.whole:
        return "too long", f"a line of {line.size:,} bytes", excerpt(line.content)
    try:
        row = json.loads(line.content.removeprefix(_BOM).decode())
    except UnicodeDecodeError as error:
        return "not UTF-8", f"byte {error.start} of the line", excerpt(line.content)
    except (ValueError, RecursionError) as error:
        return "not JSON", str(error), excerpt(line.content)
    if not isinstance(row, dict):
        return "not JSON", "not an object", excerpt(line.content)
    if source.text_column not in row:
        return "no column", no_column(source, row), excerpt(line.content)
    value = row[source.text_column]
    return (*bad, excerpt(value)) if (bad := flaw(value)) else value


def paragraph_blocks(part: Slice, stream: IO[bytes]) -> Iterator[str | Rejected]:
    """Blocks between empty lines, each a document, so that long files split and stream.

    A slice begins with the first block after an empty line in it, and its last block may end beyond it.
    """
    block: list[str] = []
    size, inside = 0, not part.start
    for line in _lines(stream, part.start):
        if line.blank:
            if inside and block:
                yield "".join(block)
            block, size = [], 0
            if part.stop is not None and line.offset >= part.stop:
                return
            inside = True
        elif inside:
            text, bad = _decoded(line)
            if bad or (bad := flaw(text)):
                yield Rejected(part.url, f"byte {line.offset}", *bad, excerpt(line.content))
                continue
            if size + line.size > BLOCK_BYTES and block:
                yield "".join(block)
                block, size = [], 0
            block.append(text)
            size += line.size
    if inside and block:
        yield "".join(block)


def _decoded(line: Line) -> tuple[str, tuple | None]:
    if not line.whole:
        return "", ("too long", f"a line of {line.size:,} bytes")
    try:
        return line.content.decode(), None
    except UnicodeDecodeError as error:
        return "", ("not UTF-8", f"byte {error.start} of the line")


def _lines(stream: IO[bytes], start: int) -> Iterator[Line]:
    """Lines from the first one that begins at or after byte `start`."""
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


def no_column(source: Source, columns) -> str:
    """What to say where the text column is missing."""
    return f"no column {source.text_column!r}; it has {', '.join(map(repr, columns))}"
