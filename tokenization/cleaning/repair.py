"""Repair characters: decode misread ones, compose split ones, remove invisible ones, and tidy white space."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import ftfy

from tokenization.cleaning.removals import EXAMPLES

Repair = Literal["misread encoding", "composition", "control characters", "white space"]
Note = Callable[[Repair, str, str], None]

_AROUND = 30  # characters shown before and after a repaired place

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\ufffd\ufff9-\ufffb\ue000-\uf8ff]")
_LINE_END = re.compile(r"\r\n?")
_SPACE = re.compile(r"[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_SPACE_AT_LINE_END = re.compile(r"[ \t]+\n")
_EMPTY_LINES = re.compile(r"\n{3,}")
# UTF-8 read in another encoding shows its lead bytes as letters such as Ã, Ä, Å or Ĺ. Polish does not use them. So a
# text in the characters of Polish alone is spared ftfy, which is slow.
_PERHAPS_MISREAD = re.compile(r"[^\x00-\x7fąćęłńóśźżĄĆĘŁŃÓŚŹŻ–—„”“’…]")


def repair(text: str, note: Note | None = None) -> str:
    """Restore doubly encoded letters, compose to NFC, and remove control characters. End lines with `\\n`, use plain
    spaces, remove spaces at line ends, and leave at most one empty line in a row.

    `note` is called for each kind of repair that changes the text, with the kind and the text before and after.
    """
    for kind, step in _STEPS.items():
        after = step(text)
        if note and after != text:
            note(kind, text, after)
        text = after
    return text


def without_empty_lines(text: str) -> str:
    """Leave at most one empty line in a row, and none at either end."""
    return _EMPTY_LINES.sub("\n\n", text).strip()


class Repairs:
    """Counts repaired documents by kind of repair, with examples of misread text before and after."""

    def __init__(self) -> None:
        self._by_kind: dict[Repair, dict[str, Any]] = {}

    def add(self, kind: Repair, before: str, after: str) -> None:
        """Count one document."""
        entry = self._by_kind.setdefault(kind, {"documents": 0, "examples": []})
        entry["documents"] += 1
        if kind == "misread encoding" and len(entry["examples"]) < EXAMPLES:
            entry["examples"].append(" → ".join(_where_they_differ(before, after)))

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return `{kind: {"documents", "examples"}}`."""
        return dict(sorted(self._by_kind.items()))


def _where_they_differ(*texts: str) -> list[str]:
    """Return, from each text, the surroundings of the first place where they differ."""
    start = max(0, len(os.path.commonprefix(texts)) - _AROUND)
    return [text[start : start + 2 * _AROUND] for text in texts]


def _decoded(text: str) -> str:
    return ftfy.fix_encoding(text) if _PERHAPS_MISREAD.search(text) else text


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _printable(text: str) -> str:
    return _CONTROL.sub("", text)


def _spaced(text: str) -> str:
    text = _SPACE.sub(" ", _LINE_END.sub("\n", text))
    return without_empty_lines(_SPACE_AT_LINE_END.sub("\n", text))


_STEPS: dict[Repair, Callable[[str], str]] = {
    "misread encoding": _decoded,
    "composition": _composed,
    "control characters": _printable,
    "white space": _spaced,
}
