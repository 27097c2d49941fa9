"""What a source is, for all who list and read one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenization.extract import EXTRACTORS
from tokenization.records import Language


class SourceError(RuntimeError):
    """A source that cannot be read, with its name, the place and what is there instead."""


@dataclass(frozen=True)
class Source:
    """Where texts come from; fields as in `jobs.data_configs.SourceConfig`. `package` is a package file's content."""

    name: str
    kind: Literal["package", "files", "hub"]
    language: Language
    path: str = ""
    subset: str = ""
    revision: str = ""
    text_column: str = "text"
    package: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and EXTRACTORS[self.name].whole
