"""Read tables as CSV and TSV: the first line names the columns."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Rejected, excerpt, missing
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.sniffing import HEAD_BYTES, delimiter_of
from tokenization.sources.source import Columns, Row


def table(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder, default: str = ","
) -> Iterator[Row | Rejected]:
    """Yield the rows. The delimiter is the one of `sniffing.DELIMITERS` with which the first line names the columns,
    else the default.

    A file without a required column is rejected as a whole, a row of another length than the first line by itself. A
    quote that is not closed costs its line.
    """
    csv.field_size_limit(MOST_BYTES)
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    delimiter = delimiter_of(head, columns.required, decoder) or default
    rows = _rows(_text(stream, decoder), delimiter)
    _, header = next(rows, (1, []))
    if isinstance(header, csv.Error):
        yield Rejected(part.url, "the whole", "not a table", str(header))
        return
    names = [name.strip() for name in header]
    if lacking := sorted(columns.required - set(names)):
        yield Rejected(part.url, "the whole", *missing(lacking[0], names))
        return
    for number, values in rows:
        place = f"line {number}"
        if isinstance(values, csv.Error):
            yield Rejected(part.url, place, "not a table", f"{values}; is there a quote that is not closed?")
        elif len(values) == len(names):
            row = dict(zip(names, values, strict=True))
            yield Row(part.url, place, {name: value for name, value in row.items() if name in columns.fields})
        elif values:  # else the line is blank
            detail = f"{len(values)} values for {len(names)} columns"
            yield Rejected(part.url, place, "not a table", detail, excerpt(delimiter.join(values)))


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the number of its first line and the values of each row. A line whose quotes are those of no table is a row
    as it is written, and what follows it is read anew; if a comma would end values and the quote goes on for lines, it
    is an error. With tabs, lines between two quotes are rows, too, if all look like rows: most who write such files
    know no quotes."""
    given = _Given(lines)
    tabs = delimiter == "\t"
    quoted = csv.reader(given, delimiter=delimiter, skipinitialspace=not tabs, strict=True)
    number, width = 1, 0
    while True:
        values: list[str] | csv.Error | None
        try:
            values = next(quoted, None)
        except csv.Error as error:
            values = error
        if values is None:
            return
        several = len(given.row) > 1
        if isinstance(values, csv.Error) or (tabs and several and all(_is_row(line, width) for line in given.row)):
            given.give_back()
            if tabs or not several:
                values = given.row[0].rstrip("\r\n").split(delimiter)
        yield number, values
        width = width or (0 if isinstance(values, csv.Error) else len(values))
        number += len(given.row)
        given.row.clear()


def _is_row(line: str, width: int) -> bool:
    values = line.split("\t")
    return len(values) == width > 1 and bool(values[0])


class _Given:
    """Lines, of which those of the present `row` but the first can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._back = lines, deque[str]()
        self.row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.row.append(self._back.popleft() if self._back else next(self._lines))
        return self.row[-1]

    def give_back(self) -> None:
        """Give the lines after the first again."""
        self._back.extendleft(reversed(self.row[1:]))
        del self.row[1:]


def _text(stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[str]:
    """Yield lines. What cannot be decoded becomes half surrogate pairs, which no document may contain."""
    while line := stream.readline(MOST_BYTES):
        try:
            yield decoder(line, stream.peek)
        except UnicodeDecodeError:
            yield line.decode(decoder.name, "surrogateescape")
