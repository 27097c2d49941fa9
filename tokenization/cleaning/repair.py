"""Repair characters: decode misread ones, compose split ones, part joined ones, remove invisible ones, and tidy lines
and spaces."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

from tokenization.cleaning.misread import restored
from tokenization.cleaning.removals import EXAMPLES

Repair = Literal["misread encoding", "terminal sequences", "composition", "control characters", "white space"]
Note = Callable[[Repair, str, str], None]

_AROUND = 30  # characters shown before and after a repaired place

# Colours, cursor moves and titles of terminals (ECMA-48), and letters that are printed twice to look bold (`a\ba`).
_TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|(?<![Â-Å])\x9b[0-9;]+[A-Za-z]|\x1b[\]P^_X][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
    r"|[^\n]\x08"
)
# What stands for a lost letter: programs that convert texts write U+001A, and files of DOS end with it. A letter of the
# private area inside a word is a sign of one font, mostly for two letters that are joined.
_LOST = re.compile(
    r"\x1a(?<=\w\x1a)\x1a*+(?!\s*\Z)|\x1a++(?=\w)|[\ue000-\uf8ff](?<=[^\W\d_].)[\ue000-\uf8ff]*+(?=[^\W\d_])"
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ue000-\uf8ff]"
)
# Letters that are joined (`ﬁ`), and letters and digits that are as wide as Chinese signs.
_FORMS = re.compile(r"[\ufb00-\ufb06\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]+")
_SPACE = re.compile(r"[\x1f\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_SPACE_AT_LINE_END = re.compile(r"[ \t]+\n")
_EMPTY_LINES = re.compile(r"\n{3,}")


def repair(text: str, note: Note | None = None) -> str:
    """Restore misread letters, compose to NFC, part joined letters, narrow wide ones, and remove control characters and
    what they control, and marks of direction. End lines with `\\n`, use plain spaces, remove spaces at line ends, and
    leave at most one empty line in a row. U+FFFD stays: it says that letters are lost (`misread.is_misread`). It takes
    the place of other signs that say so.

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


def _without_sequences(text: str) -> str:
    return _TERMINAL.sub("", text) if "\x1b" in text or "\b" in text or "\x9b" in text else text


def _composed(text: str) -> str:
    if not text.isascii() and _FORMS.search(text):
        text = _FORMS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", text)


def _printable(text: str) -> str:
    return _CONTROL.sub("", _LOST.sub("\ufffd", text)) if _CONTROL.search(text) else text


def _spaced(text: str) -> str:
    text = _SPACE.sub(" ", "\n".join(text.splitlines()))  # also at \v, \f, U+0085, U+2028 and U+2029
    return without_empty_lines(_SPACE_AT_LINE_END.sub("\n", text))


_STEPS: dict[Repair, Callable[[str], str]] = {
    "terminal sequences": _without_sequences,
    "misread encoding": restored,
    "composition": _composed,
    "control characters": _printable,
    "white space": _spaced,
}
