"""Characters: what was decoded wrongly, composed in pieces or never meant to be seen."""

from __future__ import annotations

import re
import unicodedata

import ftfy

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\ufffd\ufff9-\ufffb\ue000-\uf8ff]")
_SPACE = re.compile(r"[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_SPACE_AT_LINE_END = re.compile(r"[ \t]+\n")
_EMPTY_LINES = re.compile(r"\n{3,}")
# UTF-8 read in another encoding shows its lead bytes as letters such as Ã, Ä, Å or Ĺ: none is in what Polish is written
# with, so that plain text is spared ftfy's long look at it.
_PERHAPS_MISREAD = re.compile(r"[^\x00-\x7fąćęłńóśźżĄĆĘŁŃÓŚŹŻ–—„”“’…]")


def repair(text: str) -> str:
    """Doubly encoded letters restored, NFC, line ends `\\n`, plain spaces, no control characters, no space at line
    ends, at most one empty line in a row."""
    if _PERHAPS_MISREAD.search(text):
        text = ftfy.fix_encoding(text)
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _SPACE.sub(" ", _CONTROL.sub("", text))
    return without_empty_lines(_SPACE_AT_LINE_END.sub("\n", text))


def without_empty_lines(text: str) -> str:
    """At most one empty line in a row, and none at the ends."""
    return _EMPTY_LINES.sub("\n\n", text).strip()
