"""FreeDict dictionaries in dictd format: `.dict.dz` (gzip) with an `.index` -> one document per headword."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

from tokenization.extract.archive import read_members

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HEADWORD = re.compile(r"^(?P<word>.+?) /.*/ <|^(?P<bare>.+?) <")
_LABEL = re.compile(r"\((?!\()[^()]*\)")


def dictionary(archive: bytes) -> Iterator[str]:
    """Headword and its definitions, each on a line of its own; translations, pronunciation and labels are left out."""
    files = read_members(archive, r"\.(dict\.dz|index)$")
    for path, packed in files.items():
        if path.endswith(".dict.dz"):
            index = files[path.removesuffix(".dict.dz") + ".index"].decode("utf-8")
            text = gzip.decompress(packed)
            for start, length in _spans(index):
                if entry := entry_text(text[start : start + length].decode("utf-8")):
                    yield entry


def entry_text(entry: str) -> str:
    """The lines of an entry: headword, then translations and their definition in turn."""
    head, *senses = entry.rstrip("\n").split("\n")
    match = _HEADWORD.match(head)
    definitions = list(dict.fromkeys(filter(None, map(_definition, senses[1::2]))))
    if not match or not definitions:
        return ""
    return "\n".join([match["word"] or match["bare"], *definitions])


def _definition(line: str) -> str:
    """Without labels of subject and style, "(1.1)" and the ellipsis of a shortened example."""
    text = re.sub(r"\s+", " ", _LABEL.sub("", line))
    return re.sub(r" ([,;.])", r"\1", text).strip(" ;,…:")


def _spans(index: str) -> list[tuple[int, int]]:
    """Start and length of every entry, each once, in file order; names with `00` describe the dictionary itself."""
    rows = (line.rsplit("\t", 2) for line in index.split("\n") if line.count("\t") >= 2 and not line.startswith("00"))
    return sorted({(_number(start), _number(length)) for _, start, length in rows})


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS.index(digit)
    return value
