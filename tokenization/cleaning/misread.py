"""Restore letters that were decoded with the wrong encoding, and tell the lines where that is not possible.

There are two kinds. UTF-8 that was read as something else shows two or three signs for a letter (`Å‚`, `Ĺ‚` for `ł`).
The library ftfy knows it from many languages; what it leaves because a line shows too little of it is tried here. And
one of the Polish one-byte encodings that was read as another or as a Western one shows one wrong sign for a letter
(`³` for `ł`, `¶` for `ś`), which ftfy leaves.
"""

from __future__ import annotations

import re

import ftfy
from ftfy.badness import is_bad
from ftfy.fixes import fix_c1_controls

from tokenization.cleaning.question_marks import shows_question_marks

POLISH = "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ"
# Text in these characters alone needs no look, which would be slow. U+0085 is a line end (`repair`).
_PERHAPS = re.compile(rf"[^\x00-\x7f\x85{POLISH}–—„”“’…]")
_CONTROL = re.compile(r"[\x80-\x84\x86-\x9f]")
_FTFY = ftfy.TextFixerConfig(explain=False, fix_c1_controls=False)
_READ_AS = ("cp1252", "latin-1", "cp1250", "iso8859-2", "cp852", "mac_roman")
# What Polish letters become if one of their one-byte encodings is read as another or as a Western one.
# Without ligatures and powers: "manœuvre" and "x³y" are what they seem.
_SIGN = "¿±¶¼ŸˇĽ\x8c\x8f\x9c\x9f£¯¥†©ˆ¢˜¾"
_LETTER, _SMALL = f"a-zA-Z{POLISH}", f"a-z{POLISH.lower()}"
_ONE_SIGN = re.compile(
    rf"(?<=[{_LETTER}¹³±¶¼¿êñæ])[{_SIGN}](?=[{_SMALL}])|(?<=[a-z]{{2}})±(?=[\s.,;:!?)]|$)"
    rf"|(?<=[{_LETTER}])[¹³](?=[{_SMALL}{_SIGN}]{{2}})|(?<=[{_LETTER}]{{2}})[¹³](?=[{_SMALL}{_SIGN}])"
)
_AT_THE_END = re.compile(r"(?<=[a-z]{2})[¹³¿±¶¼êñæ]")
_BOX = re.compile(r"(?<=[^\W\d_])[■□▯](?=[^\W\d_])")  # what programs show for a letter that a font lacks
_APOSTROPHE = re.compile(r"ż(?:[dmst]|ll|ve)\b")  # in "don¿t" no letter is misread: the sign that stood there is lost
_SELDOM_LETTERS = frozenset("±†ˆ˜")  # operators, notes, and accents of formulas: one inside a word tells little
_NO_LETTERS_ALONE = _SELDOM_LETTERS | set("¹³æ")  # notes, and plurals such as "formulæ"
_SIGNS = re.compile(rf"[{_SIGN}¹³Œœ¡¦æêñäšÆÊÑ]")
_PAIRS = tuple((wrong, right) for right in ("cp1250", "iso8859-2", "cp852")
               for wrong in ("cp1252", "latin-1", "cp1250", "iso8859-2") if wrong != right)  # fmt: skip


def _shown(encoding: str) -> set[str]:
    """What the two bytes of each Polish letter in UTF-8 show if they are read as this encoding."""
    return {shown for letter in POLISH if "\ufffd" not in (shown := letter.encode().decode(encoding, "replace"))}


_TWO_SIGNS = re.compile("|".join(map(re.escape, sorted(set().union(*map(_shown, _READ_AS))))))


def restored(text: str) -> str:
    """Return the text with misread letters restored, line by line."""
    if text.isascii() or not _PERHAPS.search(text):
        return text
    lines = [_from_utf8(line) if _PERHAPS.search(line) else line for line in text.split("\n")]
    if any(map(_shows_signs, lines)):
        lines = _from_one_byte(lines)
    return "\n".join(fix_c1_controls(line) if _CONTROL.search(line) else line for line in lines)


def is_misread(line: str) -> bool:
    """Return whether letters of a line are lost or still misread."""
    if "?" in line and shows_question_marks(line):
        return True
    return (
        not line.isascii()
        and bool(_PERHAPS.search(line))
        and bool("\ufffd" in line or _BOX.search(line) or _shows_signs(line) or _TWO_SIGNS.search(line) or is_bad(line))
    )


def _from_utf8(line: str) -> str:
    fixed = ftfy.fix_encoding(line, _FTFY)
    if fixed == line and _TWO_SIGNS.search(line):
        for encoding in _READ_AS:
            try:
                return line.encode(encoding).decode()
            except UnicodeError:
                continue
    return fixed


def _shows_signs(line: str) -> bool:
    """Whether there is a sign inside a word, or two signs that stand for letters at the ends of words. What is mostly
    an operator or a note counts inside a word as little as at its end."""
    inside = set(_ONE_SIGN.findall(line))
    if inside - _SELDOM_LETTERS:
        return True
    signs = inside.union(_AT_THE_END.findall(line))
    return len(signs) > 1 and not signs <= _NO_LETTERS_ALONE


def _signs_left(line: str) -> int:
    return len(_ONE_SIGN.findall(line)) + len(_AT_THE_END.findall(line))


def _from_one_byte(lines: list[str]) -> list[str]:
    """Undo the pair of encodings that leaves the fewest signs. What changes must become Polish letters."""

    def undone(line: str, wrong: str, right: str) -> str:
        try:
            after = line.encode(wrong).decode(right)
        except UnicodeError:
            return line
        changed = {new for old, new in zip(line, after, strict=True) if old != new}
        return after if changed and changed <= set(POLISH) and not _APOSTROPHE.search(after) else line

    suspicious = list(filter(_SIGNS.search, lines))
    pair = min(_PAIRS, key=lambda pair: sum(_signs_left(undone(line, *pair)) for line in suspicious))
    return [undone(line, *pair) if _SIGNS.search(line) else line for line in lines]
