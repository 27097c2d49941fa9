"""Read JSON that is not cut into lines: an array of objects, or objects one after another."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice

import numpy as np

from tokenization.quarantine import MOST_BYTES, Rejected
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_TEXT_OR_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|NaN|-?Infinity|\](?=\s*\{)|\x1e', re.DOTALL)
_CONTROL = re.compile(rb"(\\.)|[\0-\x1f]", re.DOTALL)  # the first are escapes, and stay
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TEXT_OR_BRACKET = re.compile(_TEXT.pattern + rb"|[\[\]{}]", re.DOTALL)
_ALL_BUT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_DEEPEST = 1000  # what is nested deeper is no data; the parser would take all memory for it
_END_OF_ARRAY = re.compile(rb"\]\s*\Z")
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
    counted = _Counted(text, is_array)
    items = ijson.items(counted, "item" if is_array else "", multiple_values=True, use_float=True)
    number = 0
    while True:
        place = f"item {number}"
        try:
            value = next(items, _END)
        except _TooLongError:
            yield Rejected(part.url, place, "too long", f"more than {MOST_BYTES:,} bytes; nothing after it is read")
            return
        except _TooDeepError:
            yield Rejected(part.url, place, "not JSON", f"nested {_DEEPEST:,} levels deep; nothing after it is read")
            return
        except ijson.JSONError as error:
            why = "an object stands after the array" if counted.is_left else str(error).partition("\n")[0].rstrip(".")
            yield Rejected(part.url, place, "not JSON", f"{why}; nothing from there on is read")
            return
        if value is _END:
            return
        counted.since_item = 0
        if (row := columns.row_of(value)) is not None:
            yield Row(part.url, place, row)
        elif isinstance(value, str) and columns.plain:
            yield Row(part.url, place, {columns.plain: value})
        else:
            yield Rejected(part.url, place, "not JSON", "not an object")
        number += 1


class _TooLongError(ValueError):
    pass


class _TooDeepError(ValueError):
    pass


class _Counted:
    """Ends a stream where an item is longer than a text may be, or nested too deep; the parser would take hours and all
    memory for it.
    Numbers that JSON does not have, such as `NaN`, become null, and control characters in texts are escaped. After an
    array whose items are read an object is a mistake, which the parser does not tell: then `is_left` is true, and the
    parser stops there."""

    def __init__(self, stream: io.BufferedReader, is_array: bool = False) -> None:
        self._stream, self._is_array = stream, is_array
        self.is_left = False
        self._kept, self._in_text = b"", False
        self._depth, self._is_too_deep = 0, False
        self.since_item = 0

    def read(self, size: int) -> bytes:
        """Read about `size` bytes."""
        if self._is_too_deep:
            raise _TooDeepError
        content = b""
        while not content and (part := self._stream.read(size)):
            self.since_item += len(part)
            if self.since_item > MOST_BYTES:
                raise _TooLongError
            content = self._kept + part
            whole = content.rstrip(_OF_NUMBERS).rstrip(b"\\")  # the rest may be half an escape or such a number
            whole = _END_OF_ARRAY.sub(b"", whole)  # or stand before an object
            content, self._kept = whole, content[len(whole) :]
        if size and not content:  # the end
            content, self._kept = self._kept, b""
        return self._with_nulls(content)

    def _with_nulls(self, content: bytes) -> bytes:
        def replaced(match: re.Match[bytes]) -> bytes:
            if match[0] == b"]":
                self.is_left |= self._is_array
                return b"]," if self._is_array else b"]"
            if match[0] == b"\x1e":  # RFC 7464 puts it before each object
                return b" "
            if match[1] is None:
                return b"null"
            self._in_text = not match[1]
            return _CONTROL.sub(lambda sign: sign[1] or b"\\u%04x" % ord(sign[0]), match[0])

        opened = b'"' * self._in_text
        content = self._not_deeper(opened + content)
        return _TEXT_OR_NUMBER.sub(replaced, content)[len(opened) :]

    def _not_deeper(self, content: bytes) -> bytes:
        """Return the content up to the bracket that is too deep, if there is one. Brackets in texts nest nothing."""
        brackets = _TEXT.sub(b"", content).translate(None, _ALL_BUT_BRACKETS)
        opens = np.isin(np.frombuffer(brackets, np.uint8), (ord("["), ord("{")))
        depths = self._depth + np.where(opens, 1, -1).cumsum()
        if depths.max(initial=0) < _DEEPEST:
            self._depth = int(depths[-1]) if len(depths) else self._depth
            return content
        self._is_too_deep = True
        number = int((depths >= _DEEPEST).argmax())
        found = (match.start() for match in _TEXT_OR_BRACKET.finditer(content) if match[0][:1] != b'"')
        return content[: next(islice(found, number, None))]
