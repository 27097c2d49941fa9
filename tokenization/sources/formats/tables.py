"""Read tables as CSV and TSV: the first line names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Rejected, missing
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.sniffing import HEAD_BYTES, delimiter_of
from tokenization.sources.source import Columns, Row


def table(columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield the rows. The delimiter is the one of `sniffing.DELIMITERS` with which the first line names the columns.

    A file without a required column is rejected as a whole, a row of another length than the first line by itself.
    A quote that is not closed ends the file.
    """
    csv.field_size_limit(MOST_BYTES)
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    rows = csv.reader(_text(stream, decoder), delimiter=delimiter_of(head, columns.required) or ",")
    names = [name.strip() for name in next(rows, [])]
    if lacking := sorted(columns.required - set(names)):
        yield Rejected(part.url, "the whole", *missing(lacking[0], names))
        return
    while True:
        place = f"line {rows.line_num + 1}"
        try:
            values = next(rows, None)
        except csv.Error as error:
            hint = "; is there a quote that is not closed?" if "limit" in str(error) else ""
            yield Rejected(part.url, place, "not a table", f"{error}{hint}")
            return
        if values is None:
            return
        if len(values) == len(names):
            row = dict(zip(names, values, strict=True))
            yield Row(part.url, place, {name: value for name, value in row.items() if name in columns.fields})
        elif values:  # else the line is blank
            detail = f"{len(values)} values for {len(names)} columns"
            yield Rejected(part.url, place, "not a table", detail, ",".join(values)[:80])


def _text(stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[str]:
    """Yield lines. What cannot be decoded becomes half surrogate pairs, which no document may contain."""
    while line := stream.readline(MOST_BYTES):
        try:
            yield decoder(line, stream.peek)
        except UnicodeDecodeError:
            yield line.decode(decoder.name, "surrogateescape")
