"""Join wrapped plain text to paragraphs, each on one line, and keep the paragraphs that are prose."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator

LEAST_WORDS = 5
_SENTENCE = re.compile(r"[.!?:;)\]”»\"'…]$")
_WORDS_PER_SIGN = 10
_CODE = re.compile(r"[{}|\\]|::|->|==|^[$#>%]|^\s*[-=_*+~^.]{4,}")


def decode(data: bytes, other: str = "iso8859-1") -> str:
    """Decode UTF-8, or else the named one-byte encoding. Either may be packed with gzip."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(other, errors="replace")


def paragraphs(text: str) -> Iterator[str]:
    """Yield the blocks between empty lines, each joined to one line."""
    for block in re.split(r"\n[ \t]*\n", text):
        if joined := " ".join(block.split()):
            yield joined


def is_prose(paragraph: str) -> bool:
    """Return whether a paragraph has five words or more, mostly of letters, ends as a sentence, and is hardly code."""
    words = paragraph.split()
    lettered = sum(word[0].isalpha() or word[-1].isalpha() for word in words)
    return (
        len(words) >= LEAST_WORDS
        and 4 * lettered >= 3 * len(words)
        and bool(_SENTENCE.search(paragraph))
        and len(_CODE.findall(paragraph)) <= len(words) / _WORDS_PER_SIGN
    )


def prose(lines: Iterable[str]) -> str:
    """Make a document of the paragraphs that are prose."""
    return "\n".join(filter(is_prose, lines))


def titled(title: str, text: str) -> str:
    """Put the title above the text, if there is any of both."""
    return f"{title}\n{text}" if title and text else text
