"""Read the documents that a user lets a model look things up in: a file, a folder or a pattern, of any format that
sources of the corpus have."""

from __future__ import annotations

from jobs.stage.context import StageError
from tokenization.quarantine import Rejected
from tokenization.sources.listing import name_of
from tokenization.sources.reading import read_rows
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces
from tokenization.tools.search import Passage, cut

MOST_CHARACTERS = 5_000_000


_NEXT = "rxt chat --documents PATH     a file, a folder or a pattern"


def read_documents(path: str) -> list[Passage]:
    """Return the passages of all documents at `path`. Raises StageError if there is none, and for more than
    MOST_CHARACTERS."""
    source = Source(name="documents", kind="files", language="pl", licence="of the user", path=path)
    found: list[Passage] = []
    characters, refused = 0, ""
    try:
        for piece in pieces(source):
            for row in read_rows(source, piece):
                if isinstance(row, Rejected):
                    refused = refused or f": {row}"
                    continue
                text = row.values.get("text")
                if isinstance(text, str):
                    characters += len(text)
                    found += cut(name_of(row.file), text)
                if characters > MOST_CHARACTERS:
                    told = f"--documents {path}: more than {MOST_CHARACTERS:,} characters; name a part of it"
                    raise StageError(told, _NEXT)
    except SourceError as error:
        raise StageError(f"--documents {path}: {error}", _NEXT) from error
    if not found:
        raise StageError(f"--documents {path}: there is no text to look things up in{refused}", _NEXT)
    return found
