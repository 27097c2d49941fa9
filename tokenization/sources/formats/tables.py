"""Read tables as CSV and TSV: the first line names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from tokenization.quarantine import MOST_BYTES, Reason, Rejected, excerpt, missing, none_read, twice
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.sniffing import HEAD_BYTES, fits, named_in, values_of
from tokenization.sources.source import Columns, Row

_STATED = re.compile(r'("?)sep=([^"\r\n])\1\r?\n?')
_LOOKED_AT = 30  # lines, in which the names of the columns stand
_LONGEST_NAME = 60  # characters: what is longer is no name of a column


def table(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder, default: str = ","
) -> Iterator[Row | Rejected]:
    """Yield the rows. The delimiter is the one that Excel's first line `sep=;` states, else the one of
    `sniffing.DELIMITERS` with which the first line names the columns, else the default.

    Lines that begin with `#` are no part of the table if they stand before the names of the columns. Other lines there,
    such as a title, are rejected, and so are rows of another length than the line of names, unless only empty values or
    columns without a name make it so. A file without a required
    column is rejected as a whole, and so is one with two columns of a name that is read. A quote that is not closed
    costs its line.
    """
    csv.field_size_limit(MOST_BYTES)
    lines = _text(stream, decoder)
    first, delimiter, before = _first_lines(lines, columns, default)
    rows = _rows(chain(first, lines), delimiter, 1 + len(before))
    for number, line in enumerate(before, 1):
        if line.strip() and not (line.startswith("#") or _STATED.fullmatch(line)):
            yield Rejected(part.url, f"line {number}", "not a table", "it stands before the names", excerpt(line))
    _, header = next(rows, (1, []))
    if isinstance(header, csv.Error):
        yield Rejected(part.url, "the whole", "not a table", str(header))
        return
    names = [name.strip() for name in header]
    if lacking := sorted(columns.required - set(names)):
        why = _no_names(names, lacking[0]) or missing(lacking[0], names)
        yield Rejected(part.url, "the whole", *why)
        return
    if bad := none_read(columns.fields, names) or twice(columns.fields, names):
        yield Rejected(part.url, "the whole", *bad)
        return
    for number, values in rows:
        place = f"line {number}"
        if isinstance(values, csv.Error):
            yield Rejected(part.url, place, "not a table", f"{values}; is there a quote that is not closed?")
        elif fits(values, names):
            row = dict(zip(names, values, strict=False))
            yield Row(part.url, place, {name: value for name, value in row.items() if name in columns.fields})
        elif values:  # else the line is blank
            detail = f"{len(values)} values for {len(names)} columns"
            yield Rejected(part.url, place, "not a table", detail, excerpt(delimiter.join(values)))


def _first_lines(lines: Iterator[str], columns: Columns, default: str) -> tuple[list[str], str, list[str]]:
    """Return the lines read so far, from the names of the columns on; the delimiter; and the lines before the names."""
    read: list[str] = []
    while len(read) < _LOOKED_AT and sum(map(len, read)) < HEAD_BYTES and (line := next(lines, "")):
        read.append(line)
    told = _STATED.fullmatch(read[0]) if read else None
    stated = told[2] if told else ""
    begin = len(read[:1]) if stated else 0
    while begin < len(read) - 1 and _is_comment(read[begin], columns):
        begin += 1
    only = next(iter(columns.required)) if len(columns.required) == 1 else None
    for number in range(begin, len(read)) if columns.required else ():
        if read[number].strip('" \r\n') == only:
            break
        if delimiter := named_in(read[number], columns.required, stated):
            names = _values(read[number], delimiter)
            is_row = any(map(_is_number, names)) or any(
                len(_values(line, delimiter)) >= len([name for name in names if name]) for line in read[begin:number]
            )
            if number > begin and is_row:
                return read[begin:], delimiter, read[:begin]  # after rows, it is one of them
            return read[number:], delimiter, read[:number]
    return read[begin:], stated or named_in("".join(read[begin : begin + 1]), ()) or default, read[:begin]


def _values(line: str, delimiter: str) -> list[str]:
    """Return the values of a line, to the last that is not empty."""
    values = values_of(line, delimiter)
    while values and not values[-1]:
        values.pop()
    return values


def _is_number(value: str) -> bool:
    return value.replace(".", "").isdigit()


def _is_comment(line: str, columns: Columns) -> bool:
    if not line.startswith("#"):
        return not line.strip()
    return not named_in(line, columns.required) if columns.required else line[1:2] in ("", " ", "#", "\t", "\r", "\n")


def _no_names(header: list[str], wanted: str) -> tuple[Reason, str] | None:
    """Return why there are no columns if the first line looks like a row: a number, or the length of a text."""
    value = next((name for name in header if len(name) > _LONGEST_NAME or _is_number(name)), None)
    if value is None:
        return None
    told = f"{wanted!r}; the first line seems to be a row ({excerpt(value)[:_LONGEST_NAME]!r})"
    return "no column", f"{told}, so put a line with the names of the columns before it"


def _rows(lines: Iterator[str], delimiter: str, number: int) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the number of its first line and the values of each row, of lines from `number` on. A line whose quotes are
    those of no table is a row as it is written, and what follows it is read anew; if a comma would end values and the
    quote goes on for lines, it is an error. With tabs, lines between two quotes are rows, too, if all look like rows:
    most who write such files know no quotes."""
    given = _Given(lines)
    tabs = delimiter == "\t"
    quoted = csv.reader(given, delimiter=delimiter, skipinitialspace=not tabs, strict=True)
    names: list[str] = []
    while True:
        values: list[str] | csv.Error | None
        try:
            values = next(quoted, None)
        except csv.Error as error:
            values = error
        if values is None:
            return
        several = len(given.row) > 1
        if isinstance(values, csv.Error) or (tabs and several and all(_is_row(line, names) for line in given.row)):
            given.give_back()
            if escaped := _escaped(given.row[0], delimiter, names):
                values = escaped
            elif tabs or not several:
                values = given.row[0].rstrip("\r\n").split(delimiter)
        yield number, values
        names = names or ([] if isinstance(values, csv.Error) else values)
        number += len(given.row)
        given.row.clear()


def _escaped(line: str, delimiter: str, names: list[str]) -> list[str]:
    """Return the values of a line in which a backslash stands before a quote, as Spark and MySQL write it; nothing if
    the line is not written so."""
    if '\\"' not in line:
        return []
    values: list[str] = []
    with suppress(csv.Error):
        values = next(csv.reader([line], delimiter=delimiter, doublequote=False, escapechar="\\", strict=True))
    return values if fits(values, names) else []


def _is_row(line: str, names: list[str]) -> bool:
    values = line.rstrip("\r\n").split("\t")
    return len(names) > 1 and fits(values, names) and bool(values[0])


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
