"""The Jargon File in plain text -> one document per entry, one paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, paragraphs, prose

_ENTRY = re.compile(r"^ {3}(?=:[^\s:])", re.MULTILINE)
_REFERENCE = re.compile(r"\{([^{}]*)\}")


def jargon(archive: bytes) -> Iterator[str]:
    """What stands before the first entry is a document too."""
    for data in read_members(archive, r"/jargon.*\.txt\.gz$").values():
        for entry in _ENTRY.split(decode(data)):
            if text := prose(paragraphs(_REFERENCE.sub(r"\1", entry))):
                yield text
