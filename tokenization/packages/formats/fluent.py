"""Interface texts of Mozilla in Fluent (`.ftl` in an `.xpi` in a Debian package) -> one document per message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import LEAST_WORDS

_MESSAGE = re.compile(r"^(?:-?[a-zA-Z][\w-]*|[ ]+\.[a-zA-Z][\w-]*) = ?", re.MULTILINE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def fluent_messages(archive: bytes) -> Iterator[str]:
    """Messages of five words or more, file by file."""
    for extension in read_members(archive, r"\.xpi$").values():
        for data in read_members(extension, r"\.ftl$").values():
            yield from messages(data.decode("utf-8"))


def messages(fluent: str) -> Iterator[str]:
    """Values and attributes of messages; those with placeables, which leave gaps or are forms to choose from, are left
    out."""
    text = re.sub(r"^#.*$", "", fluent, flags=re.MULTILINE)
    for value in _MESSAGE.split(text)[1:]:
        words = _TAG.sub("", value).split()
        if len(words) >= LEAST_WORDS and "{" not in value:
            yield " ".join(words)
