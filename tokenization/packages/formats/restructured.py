"""reStructuredText (`.rst`, `.rst.gz`) -> one document per file, of its running text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, prose

_UNDERLINE = re.compile(r"^([^\w\s])\1{2,}\s*$")
_ITEM = re.compile(r"^\s*([-*+•]|\(?(\d+|[a-z#])[.)])\s+")
_ROLE = re.compile(r":[a-z:]+:`([^`<]*?)\s*(<[^`>]*>)?`")
_MARKED = re.compile(r"``(.+?)``|`([^`<]+?)\s*(?:<[^`>]*>)?`_{0,2}|\*\*(.+?)\*\*|(?<!\w)\*(\S(?:[^*]*\S)?)\*(?!\w)")


def rst_files(archive: bytes, pattern: str) -> Iterator[str]:
    """Files in the order of their paths."""
    for data in read_members(archive, pattern).values():
        if text := page_text(decode(data)):
            yield text


def page_text(rst: str) -> str:
    """Paragraphs and list items; directives, literal blocks, headings, tables, fields and comments are left out."""
    return prose(_paragraphs(rst.expandtabs().split("\n")))


def _paragraphs(lines: list[str]) -> Iterator[str]:
    for block in _blocks(lines):
        if any(_UNDERLINE.match(line) for line in block) or re.match(r"\s*(:\w[^:]*:( |$)|[|+])", block[0]):
            continue
        item: list[str] = []
        for line in block:
            if _ITEM.match(line) and item:
                yield plain(" ".join(item))
                item = []
            item += _ITEM.sub("", line).split()
        yield plain(" ".join(item))


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines between empty ones, without those that are further in than a `::` or a `..` before them."""
    literal: int | None = None
    block: list[str] = []
    for line in [*lines, ""]:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip():
            if indent > literal:
                continue
            literal = None
        if line.strip():
            if not block and line.lstrip().startswith(".."):
                literal = indent
                continue
            block.append(line)
        elif block:
            if block[-1].rstrip().endswith("::"):
                literal = len(block[0]) - len(block[0].lstrip())
                block[-1] = block[-1].rstrip()[:-1]
            yield block
            block = []


def plain(text: str) -> str:
    """Without roles and marks of emphasis."""
    return _MARKED.sub(lambda match: next(filter(None, match.groups())), _ROLE.sub(r"\1", text)).replace("\\", "")
