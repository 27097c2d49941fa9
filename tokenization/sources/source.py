"""What a source is and what is read of its rows, for all who list and read one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from tokenization.packages.table import PACKAGES
from tokenization.records import Language
from tokenization.settings import Settings, require

Filter = Literal["vulgar", "language", "repeated", "repetition", "symbols"]  # of `tokenization.cleaning.filters`


class SourceError(RuntimeError):
    """A source that cannot be read, with its name, the place and what is there instead."""


@dataclass(frozen=True)
class Columns:
    """What is read of rows. A Parquet file must have the columns `required`, with text in them. `fields` are all the
    names that are read, of columns and of the structs in them. Files of no known format are plain text, each block of
    which is the column `plain` of a row; without it they are JSON lines."""

    required: frozenset[str]
    fields: frozenset[str]
    plain: str = ""


class Row(NamedTuple):
    """A row of `file` with its place there, as in `quarantine.Rejected`."""

    file: str
    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Files(ABC):
    """Files at `path`, or those of part `part` of the hub dataset `path`."""

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
        """What is read of their rows."""


@dataclass(frozen=True, kw_only=True)
class Source(Files, Settings):
    """One source of documents.

    `kind`: `package` (a name of `tokenization.packages.table`), `files` (Parquet, JSONL or text at `path`, any fsspec
    URL, with wildcards), `hub` (a dataset `path` with `subset` and `revision`). `text_column` is read by `files` and
    `hub`.
    `max_bytes` cuts the source after so many bytes of clean text, in the source's own order, before what repeats other
    documents is removed. `skip`: filters that its texts do not go through, such as `repetition` for program code.
    """

    text_column: str = "text"
    max_bytes: int | None = None
    skip: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "licence"):
            require(bool(getattr(self, name)), name, getattr(self, name), "must not be empty")
        known = self.kind != "package" or self.name in PACKAGES
        require(known, "name", self.name, f"no package is known by it; there are {', '.join(PACKAGES)}")
        needed = f"source {self.name!r} of kind {self.kind!r} needs one"
        require(self.kind == "package" or bool(self.path), "path", self.path, needed)
        require(self.max_bytes is None or self.max_bytes > 0, "max_bytes", self.max_bytes, "must be above 0")

    @property
    def part(self) -> str:
        """Documents are read from the training split alone."""
        return "train"

    @property
    def columns(self) -> Columns:
        """The text, which is all there is in a file of no known format."""
        name = frozenset({self.text_column})
        return Columns(name, name, plain=self.text_column)

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and PACKAGES[self.name].whole

    @property
    def record(self) -> dict[str, Any]:
        """All that is set of it, as JSON has it."""
        return asdict(self) | {"skip": list(self.skip)}
