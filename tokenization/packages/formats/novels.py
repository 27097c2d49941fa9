"""Novels as lists of wrapped lines -> one document per chapter, one paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.r_data import character_vectors

_HEADING = re.compile(r"^\s*(chapter|volume|letter|the end|finis)\b[\s\divxlc.]*$", re.IGNORECASE)


def novels(archive: bytes) -> Iterator[str]:
    """The R package `janeaustenr`: six novels."""
    for data_base in read_members(archive, r"/data/Rdata\.rdb$").values():
        for lines in character_vectors(data_base):
            yield from chapters(lines)


def chapters(lines: list[str]) -> Iterator[str]:
    """What precedes the first heading (title, author, year) is left out."""
    starts = [i for i, line in enumerate(lines) if _HEADING.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        paragraphs = [
            re.sub(r"\s+", " ", " ".join(wrapped)).strip().replace("_", "")
            for filled, wrapped in groupby(lines[start + 1 : end], key=lambda line: bool(line.strip()))
            if filled
        ]
        if paragraphs:
            yield "\n".join(paragraphs)
