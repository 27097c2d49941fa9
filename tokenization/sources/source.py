"""Define a source and what is read of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from tokenization.packages.table import PACKAGES
from tokenization.records import Language
from tokenization.settings import Settings, require

Filter = Literal["vulgar", "language", "repeated", "repetition", "symbols"]  # of `tokenization.cleaning`


class SourceError(RuntimeError):
    """A source cannot be read. The message names the source, the place and what is there instead."""


@dataclass(frozen=True)
class Columns:
    """What is read of rows. A Parquet file must have the columns `required`, with text in them. `fields` names
    everything that is read: columns, and fields of the structs in them. A file of unknown format is plain text, and
    each block of it becomes the column `plain` of a row; if `plain` is empty, the file is read as JSON lines. Below the
    names in `whole` everything is read."""

    required: frozenset[str]
    fields: frozenset[str]
    plain: str = ""
    whole: frozenset[str] = frozenset()


class Row(NamedTuple):
    """A row of `file`, with its place there as in `quarantine.Rejected`."""

    file: str
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Files(ABC):
    """Files at `path`, or the files of part `part` of the hub dataset `path`."""

    name: str
    kind: Literal["package", "files", "hub"]
    language: Language
    licence: str
    path: str = ""
    subset: str = ""
    revision: str = ""

    @property
    @abstractmethod
    def part(self) -> str:
        """The split of a hub dataset that is read."""

    @property
    @abstractmethod
    def columns(self) -> Columns:
        """The columns that are read."""


@dataclass(frozen=True, kw_only=True)
class Source(Files, Settings):
    """One source of documents.

    `kind`: `package` (a name of `tokenization.packages.table`), `files` (Parquet, JSONL or text at `path`, any fsspec
    URL, with wildcards), `hub` (a dataset `path` with `subset` and `revision`). `files` and `hub` read `text_column`.
    `max_bytes` ends the source after so many bytes of clean text, in its own order, before documents that repeat others
    are removed. `skip` names filters that its texts do not go through, such as `repetition` for program code.
    """

    text_column: str = "text"
    max_bytes: int | None = None
    skip: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "licence"):
            require(bool(getattr(self, name)), name, getattr(self, name), "must not be empty")
        known = self.kind != "package" or self.name in PACKAGES
        require(known, "name", self.name, f"no package has this name; there are {', '.join(PACKAGES)}")
        needed = f"source {self.name!r} of kind {self.kind!r} needs one"
        require(self.kind == "package" or bool(self.path), "path", self.path, needed)
        require(self.max_bytes is None or self.max_bytes > 0, "max_bytes", self.max_bytes, "must be above 0")

    @property
    def part(self) -> str:
        """Documents are read from the training split only."""
        return "train"

    @property
    def columns(self) -> Columns:
        """The text column. A file of unknown format holds nothing but text."""
        name = frozenset({self.text_column})
        return Columns(name, name, plain=self.text_column)

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and PACKAGES[self.name].whole

    @property
    def record(self) -> dict[str, Any]:
        """All settings of the source, as JSON has them."""
        return asdict(self) | {"skip": list(self.skip)}
