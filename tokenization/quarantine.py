"""Keep a record of input that could not become text or conversation: one JSON line each, so that nothing vanishes
silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from tokenization.files.storage import encoded

MOST_BYTES = 16 << 20  # of one text: a longer one is no document, and reading it must not fill the memory
_EXCERPT = 80  # characters

Reason = Literal[
    "no column",
    "not text",
    "null",
    "empty",
    "not UTF-8",
    "NUL",
    "not JSON",
    "not a table",
    "not XML",
    "too long",
    "unknown format",
    "format not read",
    "unknown encoding",
    "unreadable",
    "gone",
]


# What a user can do about a source that gives nothing, by the reason.
HELP: dict[str, str] = {
    "no column": "`columns` of the source names it as the files do",
    "unknown format": "`format` of the source states it",
    "unknown encoding": "`encoding` of the source states it",
    "not UTF-8": "`encoding` of the source states another",
    "not JSON": "`format` of the source states another",
    "not a table": "`format` of the source states another",
    "too long": "`split_by` of the source cuts text files",
}
LOST: tuple[Reason, ...] = ("gone", "unreadable")  # more of the file may be readable another time


@dataclass(frozen=True)
class Rejected:
    """A piece of `file` that gave nothing, and its `place` there (row, line, byte or row group). The reasons are those
    above and, for rows that are no conversation, those of their adapter.

    `no column` concerns a whole file or row. `unreadable` and `gone` concern everything from `place` on: damaged data,
    and data that was listed but could no longer be read.
    """

    file: str
    place: str
    reason: str
    detail: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.detail}".strip() + f" ({self.place} of {self.file})"


def flaw(value: object) -> tuple[Reason, str] | None:
    """Return why a value cannot be a document, with a detail, or None if it can."""
    if value is None or value != value:  # NaN, where a table has nothing
        return "null", ""
    if not isinstance(value, str):
        return "not text", f"{type(value).__name__}"
    if not value or value.isspace():
        return "empty", ""
    if "\0" in value:
        return "NUL", f"at character {value.index(chr(0))}"
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        return "not UTF-8", f"half a surrogate pair at character {error.start}"
    return ("too long", f"{size:,} bytes") if size > MOST_BYTES else None


def missing(name: str, columns: Iterable[str]) -> tuple[Reason, str]:
    """Return the reason and detail for a row or file with these columns that lacks the column `name`."""
    return "no column", f"{name!r}; it has {', '.join(map(repr, columns))}"


def none_read(read: Iterable[str], columns: Sequence[str]) -> tuple[Reason, str] | None:
    """Return the reason and detail for a file that has none of the columns that are read."""
    is_foreign = set(read).isdisjoint(columns)
    told = f"that is read; its columns are those of no schema: {', '.join(map(repr, columns))}; rename them"
    return ("no column", told) if is_foreign else None


def twice(read: Container[str], columns: Sequence[str]) -> tuple[Reason, str] | None:
    """Return the reason and detail for a file in which two columns have a name that is read."""
    name = next((name for name in columns if name in read and columns.count(name) > 1), None)
    return None if name is None else ("not a table", f"two columns have the name {name!r}; rename one")


def excerpt(value: object) -> str:
    """Return the beginning of a value. What cannot be printed is escaped."""
    if isinstance(value, bytes):
        value = value[: 4 * _EXCERPT].decode("utf-8", "backslashreplace")
    try:
        text = value if isinstance(value, str) else repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deep to be shown"
    return text[:_EXCERPT].encode("utf-8", "backslashreplace").decode()


class Quarantine:
    """Writes the rejected pieces of one source to an open file and counts them by reason, with the `first` of each.
    `gone` lists lost files."""

    def __init__(self, source: str, file: BinaryIO) -> None:
        self._source, self._file = source, file
        self.counts: Counter[str] = Counter()
        self.gone: list[str] = []
        self.first: dict[str, str] = {}

    def add(self, rejected: Rejected) -> None:
        """Write one line: source, file, place, reason, detail, excerpt."""
        line = {"source": self._source, **vars(rejected)}
        self._file.write(encoded(line) + b"\n")
        self.counts[rejected.reason] += 1
        if rejected.reason == "gone" and rejected.file not in self.gone:
            self.gone.append(rejected.file)
        self.first.setdefault(rejected.reason, str(rejected))
