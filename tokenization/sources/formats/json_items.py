"""Read JSON that is not cut into lines: an array of objects, or objects one after another."""

from __future__ import annotations

import io
from collections.abc import Iterator

from tokenization.quarantine import Rejected
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row


def json_items(_: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield the objects as rows, one at a time. A mistake in the syntax ends the file there."""
    import ijson  # no other format needs it

    text = decoder.as_utf8(stream)
    is_array = text.peek(1 << 10).lstrip().startswith(b"[")
    items = ijson.items(text, "item" if is_array else "", multiple_values=True, use_float=True)
    number = 0
    while True:
        place = f"item {number}"
        try:
            value = next(items, None)
        except ijson.JSONError as error:
            yield Rejected(part.url, place, "not JSON", str(error).partition("\n")[0])
            return
        if value is None:
            return
        if isinstance(value, dict):
            yield Row(part.url, place, value)
        else:
            yield Rejected(part.url, place, "not JSON", "not an object")
        number += 1
