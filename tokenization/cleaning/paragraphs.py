"""Split a text into paragraphs: its lines, or the paragraphs that somebody broke into lines of about one width.

Such lines are as full as the next word allows, and most begin in the middle of a sentence. Verses, lists, tables and
dialogues do not: each of their lines is a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, pairwise

_WIDTHS = range(45, 101)  # characters
_LEAST_LINES = 3
_GO_ON, _IN_SENTENCE = 0.8, 0.5  # least shares of the lines: that a next one continues, that begin with a small letter
_OF_LIST = 0.5  # most that end as items do, or have columns
_NEARLY_FULL = 0.7  # of the width
_ENDS = (".", "!", "?", "…", '"', "”", "»", ":", ";")
_COLUMNS = re.compile(r"[^\s.!?:]  +\S|[\t|]")
_BEGINS = (" ", "-", "–", "—", "•", "*")  # of items, of what somebody says, and indented


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs with their line ends inside. Joined by line ends they are the text."""
    lines = text.split("\n")
    if len(lines) < _LEAST_LINES:
        return lines
    found: list[str] = []
    for filled, block in groupby(lines, key=bool):
        of_block = list(block)
        found += _of_block(of_block) if filled else of_block
    return found


def _of_block(lines: list[str]) -> list[str]:
    """The paragraphs of lines without an empty one between them."""
    count = len(lines)
    if count < _LEAST_LINES or len(lines[0]) not in _WIDTHS:
        return lines
    width = sorted(map(len, lines))[9 * count // 10]  # few lines are longer, such as addresses
    if width not in _WIDTHS:
        return lines
    in_sentence = sum(line[0].islower() for line in lines[1:])
    of_list = sum(line.endswith(_ENDS) or bool(_COLUMNS.search(line)) for line in lines)
    goes_on = [_goes_on(line, after, width) for line, after in pairwise(lines)]
    share = sum(goes_on) / (count - 1)
    if share < _GO_ON or in_sentence < _IN_SENTENCE * (count - 1) or of_list > _OF_LIST * count:
        return lines
    return ["\n".join(part) for part in _parts(lines, goes_on)]


def _goes_on(line: str, after: str, width: int) -> bool:
    """Whether the paragraph of a line goes on in the line after it: the next word would not have fitted."""
    if after.startswith(_BEGINS) or max(len(line), len(after)) not in _WIDTHS:
        return False
    first, _, _ = after.partition(" ")
    return len(line) + 1 + len(first) > width or (len(line) >= _NEARLY_FULL * width and not line.endswith(_ENDS))


def _parts(lines: list[str], goes_on: list[bool]) -> Iterator[list[str]]:
    start = 0
    for number, more in enumerate([*goes_on, False], 1):
        if not more:
            yield lines[start:number]
            start = number
