"""Define a source and what is read of its rows."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from tokenization.cleaning.settings import RuleSet
from tokenization.packages.table import PACKAGES
from tokenization.records import Language
from tokenization.settings import Settings, require

Filter = Literal["vulgar", "language", "repeated", RuleSet]  # of `tokenization.cleaning`
Format = Literal["text", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "html", "warc", "docx", "odt", "epub",
                 "mail", "subtitles", "wiki", "xml", "zip", "tar"]  # fmt: skip
SplitBy = Literal["document", "line", "paragraph"]


class SourceError(RuntimeError):
    """A source cannot be read. The message names the source, the place and what is there instead."""


MESSAGES = "messages"  # the column of a conversation that is a list


@dataclass(frozen=True)
class Columns:
    """What is read of rows. A file must have the columns `required`, with text in them. `fields` names everything that
    is read: columns, and fields of the structs in them; below the names in `whole` everything is read. Formats that
    hold running text (all but tables and JSON) give rows with the one column `plain`; if `plain` is empty, they are
    refused. `split_by` cuts text files."""

    required: frozenset[str]
    fields: frozenset[str]
    plain: str = ""
    whole: frozenset[str] = frozenset()
    split_by: SplitBy = "document"

    def row_of(self, value: object) -> dict[str, Any] | None:
        """Return the row that a value of JSON is, or None: an object, or a list of them where messages are read."""
        if isinstance(value, dict):
            return value
        is_list = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
        return {MESSAGES: value} if is_list and MESSAGES in self.fields else None


class Row(NamedTuple):
    """A row of `file`, with its place there as in `quarantine.Rejected`."""

    file: str
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Files(ABC):
    """Files at `path`, or the files of part `part` of the hub dataset `path`.

    `path` is a file, a folder, or a pattern with `*`, `**`, `?` and `[...]`, on any file system of fsspec. `format` and
    `encoding` are told from the content of each file if they are not stated; the format `zip` or `tar` states that of
    the archive, and its members' are told. `columns` names the columns of the files where they differ from ours:
    `{text = "body"}` reads `body` as `text`. A source that gives nothing stops the stage, unless it is `optional`.
    """

    name: str
    kind: Literal["package", "files", "hub"]
    language: Language
    licence: str
    path: str = ""
    subset: str = ""
    revision: str = ""
    part: str = "train"
    format: Format | None = None
    encoding: str = ""
    columns: dict[str, str] = field(default_factory=dict, hash=False)
    optional: bool = False

    def check(self, *more: str) -> None:
        """Raise ValueError unless the settings make sense. `more` names settings that must not be empty."""
        for name in ("name", "licence", *more):
            require(bool(getattr(self, name)), name, getattr(self, name), "must not be empty")
        require(not self.encoding or _is_known(self.encoding), "encoding", self.encoding, "Python knows no such codec")
        unknown = ", ".join(sorted(set(self.columns) - self.wanted.fields))
        there = ", ".join(sorted(self.wanted.fields))
        require(not unknown, "columns", unknown, f"nothing of this name is read; there is {there}")

    @property
    @abstractmethod
    def wanted(self) -> Columns:
        """The columns that are read, under our names."""


@dataclass(frozen=True, kw_only=True)
class Source(Files, Settings):
    """One source of documents.

    `kind`: `package` (a name of `tokenization.packages.table`), `files` (at `path`), `hub` (a dataset `path` with
    `subset`, `revision` and `part`). Rows are read for their column `text`. A text file is one document; with
    `split_by`, each of its lines, or each paragraph between blank lines. `max_bytes` ends the source after so many
    bytes of clean text, in its own order, before documents that repeat others are removed. `skip` names filters that
    its texts do not go through, such as `repetition` for program code.
    """

    split_by: SplitBy = "document"
    max_bytes: int | None = None
    skip: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        self.check()
        known = self.kind != "package" or self.name in PACKAGES
        require(known, "name", self.name, f"no package has this name; there are {', '.join(PACKAGES)}")
        needed = f"source {self.name!r} of kind {self.kind!r} needs one"
        require(self.kind == "package" or bool(self.path), "path", self.path, needed)
        require(self.max_bytes is None or self.max_bytes > 0, "max_bytes", self.max_bytes, "must be above 0")

    @property
    def wanted(self) -> Columns:
        """The column `text`."""
        name = frozenset({"text"})
        return Columns(name, name, plain="text", split_by=self.split_by)

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and PACKAGES[self.name].whole

    @property
    def record(self) -> dict[str, Any]:
        """All settings of the source, as JSON has them."""
        return asdict(self) | {"skip": list(self.skip)}


def _is_known(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding)._is_text_encoding
    except LookupError:
        return False
