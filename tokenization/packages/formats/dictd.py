"""Dictionaries in dictd format: `.dict.dz` (gzip) with an `.index` -> entries, as they are or as running text."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import paragraphs

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MARKUP = re.compile(r"[{}]| ?\\[^\\]*\\(?: ?\([^)]*\))?|\[[^\]]*\]|<[^>]*>")


def entries(archive: bytes) -> Iterator[str]:
    """Every entry of every dictionary in the package once, in file order."""
    files = read_members(archive, r"\.(dict\.dz|index)$")
    for path, packed in files.items():
        if path.endswith(".dict.dz"):
            index = files[path.removesuffix(".dict.dz") + ".index"].decode("utf-8")
            text = gzip.decompress(packed)
            for start, length in _spans(index):
                yield text[start : start + length].decode("utf-8", errors="replace")


def explanations(archive: bytes) -> Iterator[str]:
    """Entries in running text: the headword's line, then a paragraph per line; pronunciation, etymology and the marks
    of cross-references are left out."""
    for entry in entries(archive):
        text = "\n".join(re.sub(r" ([,;.:)])", r"\1", line) for line in paragraphs(_MARKUP.sub("", entry)))
        if text:
            yield text


def _spans(index: str) -> list[tuple[int, int]]:
    """Start and length of every entry, each once, in file order; names with `00` describe the dictionary itself."""
    rows = (line.rsplit("\t", 2) for line in index.split("\n") if line.count("\t") >= 2 and not line.startswith("00"))
    return sorted({(_number(start), _number(length)) for _, start, length in rows})


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS.index(digit)
    return value
