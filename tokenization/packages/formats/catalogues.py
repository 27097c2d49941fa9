"""Message catalogues of gettext (`.mo`) -> one document per message of five words or more."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import LEAST_WORDS

_MAGIC = 0x950412DE
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_ACCELERATOR = re.compile(r"[_&~](?=\w)")
_PLACEHOLDER = re.compile(r"%(\d+\$)?[-+ #0]*\d*(\.\d+)?l*[sdiufxcg]|\{[^{}]*\}|\$\w")


def originals(archive: bytes, pattern: str) -> Iterator[str]:
    """Messages in the language that was translated from."""
    return _texts(archive, pattern, 0)


def translations(archive: bytes, pattern: str) -> Iterator[str]:
    """Messages in the language that was translated to."""
    return _texts(archive, pattern, 1)


def _texts(archive: bytes, pattern: str, side: int) -> Iterator[str]:
    for data in read_members(archive, pattern).values():
        for pair in messages(data):
            if pair[0] != pair[1] and (text := message_text(pair[side])):
                yield text


def messages(catalogue: bytes) -> Iterator[tuple[str, str]]:
    """Original and translation, without context; of plural forms the last, which is that for many. In file order,
    without the header. See "The Format of GNU MO Files" in gettext's manual."""
    order = "<" if struct.unpack_from("<I", catalogue)[0] == _MAGIC else ">"
    _, _, count, originals_at, translations_at = struct.unpack_from(f"{order}5I", catalogue)
    for i in range(count):
        original, translation = (
            catalogue[start : start + length].decode("utf-8", errors="replace")
            for table in (originals_at, translations_at)
            for length, start in [struct.unpack_from(f"{order}2I", catalogue, table + 8 * i)]
        )
        if original:
            yield original.rpartition("\x04")[2].rpartition("\0")[2], translation.rpartition("\0")[2]


def message_text(message: str) -> str:
    """A paragraph per line, without tags and accelerators; nothing where a placeholder leaves a gap or it is short."""
    if _PLACEHOLDER.search(message):
        return ""
    lines = (" ".join(line.split()) for line in _ACCELERATOR.sub("", _TAG.sub("", message)).split("\n"))
    text = "\n".join(filter(None, lines))
    return text if len(text.split()) >= LEAST_WORDS else ""
