"""Read lines in bounded memory, however long a line is, and JSON lines."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tokenization.quarantine import MOST_BYTES, Reason, Rejected, excerpt
from tokenization.sources.encoding import EncodingError, TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
_BLANK = re.compile(r"\s*")  # also the sign \x1e, which RFC 7464 puts before each object
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


def json_lines(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield the rows that begin in the slice. Blank lines are no rows; a line may have several."""
    for line in lines(part, stream, decoder):
        if part.stop is not None and line.offset >= part.stop:
            return
        if not line.blank:
            place = f"byte {line.offset}"
            rows = _rows(columns, line, stream, decoder)
            if isinstance(rows, tuple):
                yield Rejected(part.url, place, *rows)
            else:
                yield from (Row(part.url, place, row) for row in rows)


def _rows(
    columns: Columns, line: Line, stream: io.BufferedReader, decoder: TextDecoder
) -> list[dict] | tuple[Reason, str, str]:
    """Return the rows, or why there is none (reason, detail, excerpt)."""
    text, bad = decoded(line, stream, decoder)
    if bad:
        return *bad, excerpt(line.content)
    try:
        # A mark stands where a file was appended, and a comma after a row that stood in an array.
        values = list(_values(text.lstrip("\ufeff").rstrip().removesuffix(",")))
    except (ValueError, RecursionError) as error:
        return "not JSON", str(error), excerpt(line.content)
    rows = [row for value in values if (row := columns.row_of(value)) is not None]
    return rows if len(rows) == len(values) > 0 else ("not JSON", "not an object", excerpt(line.content))


def _values(text: str) -> Iterator[Any]:
    end = _end_of_blank(text, 0)
    while end < len(text):
        value, end = _DECODER.raw_decode(text, end)
        yield value
        end = _end_of_blank(text, end)


def _end_of_blank(text: str, begin: int) -> int:
    found = _BLANK.match(text, begin)
    return found.end() if found else begin


def decoded(line: Line, stream: io.BufferedReader, decoder: TextDecoder) -> tuple[str, tuple[Reason, str] | None]:
    """Return the text of a line of the stream, or an empty string and why there is none (reason, detail)."""
    if not line.whole:
        return "", ("too long", f"a line of {line.size:,} bytes")
    try:
        return decoder(line.content, stream.peek), None
    except UnicodeDecodeError as error:
        return "", undecoded(decoder, f"byte {error.start} of the line")
    except EncodingError as error:
        return "", ("not UTF-8", str(error))


def undecoded(decoder: TextDecoder, place: str) -> tuple[Reason, str]:
    """Return the reason and detail for text that is not in the encoding of its file."""
    return ("not UTF-8", place) if decoder.name == "utf-8" else ("unknown encoding", f"not {decoder.name}: {place}")


def lines(part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Line]:
    """Yield lines, from the first one that begins in the slice. The stream is at the beginning of the content, or one
    byte before a later slice."""
    offset = decoder.mark
    if part.start:
        offset = part.start - 1
        offset += _line(stream, offset).size
    while (line := _line(stream, offset)).size:
        yield line
        offset += line.size


def _line(stream: io.BufferedReader, offset: int) -> Line:
    content = stream.readline(MOST_BYTES)
    size = len(content)
    if size == MOST_BYTES and not content.endswith(b"\n"):
        content = content[:_BEGINNING]
        while rest := stream.readline(_CHUNK):
            size += len(rest)
            if rest.endswith(b"\n"):
                break
    return Line(offset, size, content)
