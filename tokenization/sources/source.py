"""What a source is and what is read of its rows, for all who list and read one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tokenization.packages.table import PACKAGES
from tokenization.records import Language


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


@dataclass(frozen=True)
class Files(ABC):
    """Files at `path`, or those of part `part` of the hub dataset `path`."""

    name: str
    kind: Literal["package", "files", "hub"]
    language: Language
    path: str = ""
    subset: str = ""
    revision: str = ""
    part: str = "train"

    @property
    @abstractmethod
    def columns(self) -> Columns:
        """What is read of their rows."""


@dataclass(frozen=True)
class Source(Files):
    """Where texts come from; fields as in `jobs.configs.data.SourceConfig`. `package` is a package file's content."""

    text_column: str = "text"
    package: bytes = b""

    @property
    def columns(self) -> Columns:
        name = frozenset({self.text_column})
        return Columns(name, name, plain=self.text_column)

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and PACKAGES[self.name].whole
