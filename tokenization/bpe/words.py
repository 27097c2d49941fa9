"""Cut text into words, which merges may not cross.

The split is that of Qwen 3.5. Every digit stands alone, so codes and years are copied digit by digit. A combining mark
stays with its letter, so decomposed Polish costs no more than a rare word. One blank or bracket may lead a word. Line
ends stay with the punctuation before them. `tokenizers` and the encoding engine match SPLIT as a regular expression.
In training that would take nearly all the time, so `mark_words` finds the same words with array operations.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Classes of characters. A BLANK is any white space but the plain space and line ends.
EDGE, NUMBER, OTHER, LETTER, NEWLINE, BLANK, SPACE = range(7)
OPEN = 2  # in the table: the classes of these two characters do not decide
_BLANKS = "\t\v\f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_ONE_LETTER = [ord(c) for c in "sStTmMdD\u017f"]  # of 's 't 'm 'd; the long s (U+017F) counts as an s
_TWO_LETTERS = [([ord(a), ord(a.upper())], [ord(b), ord(b.upper())]) for a, b in ("re", "ve", "ll")]


@cache
def _classes() -> np.ndarray:
    """Return the class of every code point, uint8. NUL marks the edge of a text."""
    of_category = {"L": LETTER, "M": LETTER, "N": NUMBER}
    classes = np.array([of_category.get(unicodedata.category(chr(c))[0], OTHER) for c in range(0x110000)], np.uint8)
    classes[[ord(c) for c in _BLANKS]] = BLANK
    classes[[ord("\r"), ord("\n")]] = NEWLINE
    classes[ord(" ")] = SPACE
    classes[0] = EDGE
    return classes


@cache
def _start_table() -> np.ndarray:
    """Return whether a character starts a word (0, 1 or OPEN), by 8 * class of the one before + its own class."""
    starts = np.ones((8, 8), np.uint8)
    starts[OTHER, (OTHER, NEWLINE)] = starts[LETTER, LETTER] = starts[NEWLINE, NEWLINE] = 0
    starts[SPACE, OTHER] = starts[BLANK:, LETTER] = starts[BLANK:, NEWLINE] = 0
    starts[OTHER, LETTER] = starts[NEWLINE, BLANK:] = starts[BLANK:, BLANK:] = OPEN
    return starts.ravel()


def mark_words(text: str) -> str:
    """Put a NUL before each word of the text. NULs in the text itself count as edges of texts."""
    codes = np.frombuffer(f"\0{text}\0".encode("utf-32-le"), np.uint32)
    return np.insert(codes, np.flatnonzero(_starts(codes)), 0).tobytes().decode("utf-32-le")


def _starts(codes: np.ndarray) -> np.ndarray:
    """Return whether each code point (uint32 [n], NUL first and last) starts a word as SPLIT matches it: bool [n]."""
    kinds = _classes()[codes]
    pairs = np.zeros_like(kinds)
    np.bitwise_or(kinds[:-1] << 3, kinds[1:], out=pairs[1:])
    starts = _start_table()[pairs]
    undecided = np.flatnonzero(starts == OPEN)
    before, own = kinds[undecided - 1], kinds[undecided]

    # A single sign leads the letters after it, unless a space has already taken the sign.
    letters = undecided[own == LETTER]
    starts[letters] = np.isin(kinds[letters - 2], (OTHER, SPACE))

    # The last of several blanks leads what follows; the other blanks stay together.
    inner = undecided[(own >= BLANK) & (before >= BLANK)]
    starts[inner] = np.isin(kinds[inner + 1], (NUMBER, OTHER, LETTER))

    # Blanks after a line end belong to that line end if another line end follows the blanks. But if punctuation has
    # taken the first line end, they do not.
    indents = undecided[before == NEWLINE]
    if indents.size:
        blank = kinds >= BLANK
        blank_ends = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1
        line_ends = np.flatnonzero((kinds[1:] == NEWLINE) & (kinds[:-1] != NEWLINE)) + 1
        after = kinds[blank_ends[np.searchsorted(blank_ends, indents, "right")]]
        ahead = kinds[line_ends[np.searchsorted(line_ends, indents) - 1] - 1]
        starts[indents] = (after != NEWLINE) | (ahead == OTHER)

    # The contractions 's, 't, 're, 've, 'm, 'll and 'd are words: another word starts after them.
    quotes = np.flatnonzero(codes == ord("'"))
    quotes = quotes[~np.isin(kinds[quotes - 1], (OTHER, SPACE)) & (kinds[quotes + 1] == LETTER)]
    first, second = codes[quotes + 1], codes[quotes + 2]
    starts[quotes[np.isin(first, _ONE_LETTER)] + 2] = True
    for one, two in _TWO_LETTERS:
        starts[quotes[np.isin(first, one) & np.isin(second, two)] + 3] = True
    return starts.astype(bool)
