"""Read JSON that is not cut into lines: an array of objects, or objects one after another."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Rejected
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_TEXT_OR_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|NaN|-?Infinity', re.DOTALL)
_END = object()
_OF_NUMBERS = b"-INafinty"  # the letters of NaN and -Infinity


def json_items(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield the objects as rows, one at a time, and texts in an array as the column `columns.plain`, if there is one. A
    mistake in the syntax ends the file there."""
    import ijson  # no other format needs it

    text = decoder.as_utf8(stream)
    is_array = text.peek(1 << 10).lstrip().startswith(b"[")
    counted = _Counted(text)
    items = ijson.items(counted, "item" if is_array else "", multiple_values=True, use_float=True)
    number = 0
    while True:
        place = f"item {number}"
        try:
            value = next(items, _END)
        except _TooLongError:
            yield Rejected(part.url, place, "too long", f"more than {MOST_BYTES:,} bytes; nothing after it is read")
            return
        except ijson.JSONError as error:
            yield Rejected(part.url, place, "not JSON", str(error).partition("\n")[0])
            return
        if value is _END:
            return
        counted.since_item = 0
        if isinstance(value, dict):
            yield Row(part.url, place, value)
        elif isinstance(value, str) and columns.plain:
            yield Row(part.url, place, {columns.plain: value})
        else:
            yield Rejected(part.url, place, "not JSON", "not an object")
        number += 1


class _TooLongError(ValueError):
    pass


class _Counted:
    """Ends a stream where an item is longer than a text may be; the parser would take hours and all memory for it.
    Numbers that JSON does not have, such as `NaN`, become null."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._kept, self._in_text = b"", False
        self.since_item = 0

    def read(self, size: int) -> bytes:
        """Read about `size` bytes."""
        content = b""
        while not content and (part := self._stream.read(size)):
            self.since_item += len(part)
            if self.since_item > MOST_BYTES:
                raise _TooLongError
            content = self._kept + part
            whole = content.rstrip(_OF_NUMBERS).rstrip(b"\\")  # the rest may be half an escape or such a number
            content, self._kept = whole, content[len(whole) :]
        if size and not content:  # the end
            content, self._kept = self._kept, b""
        return self._with_nulls(content)

    def _with_nulls(self, content: bytes) -> bytes:
        def replaced(match: re.Match[bytes]) -> bytes:
            if match[1] is None:
                return b"null"
            self._in_text = not match[1]
            return match[0]

        opened = b'"' * self._in_text
        return _TEXT_OR_NUMBER.sub(replaced, opened + content)[len(opened) :]
