"""Fortune files: quotes between lines that hold only `%` -> one document per quote."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members

# Chat logs, quoted mail, addresses and drawings are no prose.
_MARKUP = re.compile(
    r"^\s*[>|:]|^\s*\[?\d\d?:\d\d|^\s*<[^>]+>|^#\w+|\S+@\S+|://|[-=_*+/\\|~^#.]{5,}|[<>{}\[\]|\\]", re.M
)
_SPEECH = re.compile(r"^\s*([-–—*•]|\d+[.)])\s*")
# Files of nothing but insults, drawings or nonsense.
_LEFT_OUT = ("imiona", "dowcipy-szowinistyczne", "ascii-art", "translate-me", "zippy")
_NUMBER = re.compile(r"^\d+\. ")  # of a quote in its collection
_WRAPPED_AT = 55


def fortunes(archive: bytes) -> Iterator[str]:
    """Quotes in prose, file by file."""
    for path, data in read_members(archive, r"/fortunes/(pl/)?[^/]+$").items():
        if path.endswith((".dat", ".u8")) or path.rsplit("/", 1)[-1] in _LEFT_OUT:
            continue
        for quote in re.split(rb"^%\r?$", data, flags=re.MULTILINE):
            text = decode(quote)
            if not _MARKUP.search(text) and (joined := join_lines(text)):
                yield joined


def decode(quote: bytes) -> str:
    """UTF-8, or else one of the two one-byte encodings of Polish: only in Windows-1250 are 0x80 to 0x9F letters."""
    try:
        return quote.decode("utf-8")
    except UnicodeDecodeError:
        return quote.decode("cp1250" if re.search(rb"[\x80-\x9f]", quote) else "iso8859-2", errors="replace")


def join_lines(text: str) -> str:
    """Wrapped lines become one paragraph; a blank line, a short line or a new speaker ends it."""
    paragraphs: list[str] = []
    wrapped = False
    for line in text.splitlines():
        words = " ".join(line.split())
        if not paragraphs:
            words = _NUMBER.sub("", words)
        if wrapped and words and not _SPEECH.match(words):
            paragraphs[-1] += " " + words
        elif words:
            paragraphs.append(words)
        wrapped = len(line.rstrip()) >= _WRAPPED_AT
    return "\n".join(paragraphs)
