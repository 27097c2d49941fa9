"""Yield short texts of programs, one document each: messages in gettext catalogues (`.mo`) and in Mozilla's Fluent
(`.ftl` in an `.xpi`), and descriptions of Debian packages."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import LEAST_WORDS

_MAGIC = 0x950412DE
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_ACCELERATOR = re.compile(r"[_&~](?=\w)")
_PLACEHOLDER = re.compile(r"%(\d+\$)?[-+ #0]*\d*(\.\d+)?l*[sdiufxcg]|\{[^{}]*\}|\$\w")


def originals(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield messages in the language that they were translated from."""
    return _texts(archive, pattern, 0)


def translations(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield messages in the language that they were translated to."""
    return _texts(archive, pattern, 1)


def _texts(archive: bytes, pattern: str, side: int) -> Iterator[str]:
    for data in read_members(archive, pattern).values():
        for pair in messages(data):
            if pair[0] != pair[1] and (text := message_text(pair[side])):
                yield text


def messages(catalogue: bytes) -> Iterator[tuple[str, str]]:
    """Yield originals with their translations, without context, in file order, without the header. Of plural forms the
    last is taken, the one for many. See "The Format of GNU MO Files" in gettext's manual."""
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
    """Return a paragraph per line, without tags and accelerators; nothing if the text is short or has gaps."""
    if _PLACEHOLDER.search(message):
        return ""
    lines = (" ".join(line.split()) for line in _ACCELERATOR.sub("", _TAG.sub("", message)).split("\n"))
    text = "\n".join(filter(None, lines))
    return text if len(text.split()) >= LEAST_WORDS else ""


_MESSAGE = re.compile(r"^(?:-?[a-zA-Z][\w-]*|[ ]+\.[a-zA-Z][\w-]*) = ?", re.MULTILINE)


def fluent_messages(archive: bytes) -> Iterator[str]:
    """Yield the messages of Mozilla's extensions that have five words or more, file by file."""
    for extension in read_members(archive, r"\.xpi$").values():
        for data in read_members(extension, r"\.ftl$").values():
            yield from fluent_values(data.decode("utf-8"))


def fluent_values(fluent: str) -> Iterator[str]:
    """Yield values and attributes of messages. Those with placeables are left out: they leave gaps, or are forms to
    choose from."""
    text = re.sub(r"^#.*$", "", fluent, flags=re.MULTILINE)
    for value in _MESSAGE.split(text)[1:]:
        words = _TAG.sub("", value).split()
        if len(words) >= LEAST_WORDS and "{" not in value:
            yield " ".join(words)


_FIELD = re.compile(r"^Package: (.*)\n(?:.*\n)??Description-[a-z_A-Z]+: ?(.*(?:\n .*)*)", re.MULTILINE)


def descriptions(index: bytes) -> Iterator[str]:
    """Yield, for each package in apt's index, its name and short description on a line, with a colon between them, then
    a paragraph per line. Lists are indented further; each of their lines stays a line."""
    for match in _FIELD.finditer(index.decode("utf-8")):
        short, *rest = match[2].split("\n")
        lines, fresh = [f"{match[1]}: {short}"], True
        for line in (line[1:] for line in rest):
            if line == ".":
                fresh = True
            elif fresh or line.startswith(" "):
                lines.append(line.strip())
                fresh = False
            else:
                lines[-1] += f" {line.strip()}"
        yield "\n".join(lines)
