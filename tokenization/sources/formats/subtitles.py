"""Read subtitles of films: SubRip, WebVTT, MicroDVD and MPL2."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import unescape

from tokenization.quarantine import Rejected, excerpt
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.formats.plain import whole_text
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_TIME = r"(?:\d{1,3}:)?\d\d?:\d\d[,.]\d{1,3}"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}.*")
_FRAMES = re.compile(r"(?:\{\d+\}\{\d*\}|\[\d+\]\[\d*\])(.*)")  # MicroDVD; MPL2, in tenths of a second
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\?[A-Za-z][^{}]*\}")
_DASH = re.compile(r"[-–—]\s*(?=\S)")
_END = re.compile(r"[.!?…:][\"'”’»)]*$")


def subtitles(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield what is said as the column `columns.plain` of a row, without numbers, times and tags. A line is a sentence,
    also one that several titles show, or what one person says after a dash."""
    for place, text in whole_text(part, stream, decoder):
        if isinstance(text, Rejected):
            yield text
        elif said := "\n".join(_said(text)):
            yield Row(part.url, place, {columns.plain: said})
        else:
            yield Rejected(part.url, place, "empty", "nothing is said in it", excerpt(text))


def _said(text: str) -> Iterator[str]:
    """Join the lines to sentences. A line that is shown again in the next title counts once."""
    said = last = ""
    for line in _shown(text):
        line = " ".join(unescape(_TAG.sub("", line)).split())
        if not line or line == last:
            continue
        last = line
        if said and (_DASH.match(line) or _END.search(said)):
            yield said
            said = ""
        said = f"{said} {line}".strip()
    if said:
        yield said


def _shown(text: str) -> Iterator[str]:
    """Yield the lines of all titles."""
    lines = text.splitlines()
    if not any(map(_TIMES.fullmatch, lines)):
        for line in lines:
            if found := _FRAMES.fullmatch(line):
                yield from (part.removeprefix("/") for part in found[1].split("|"))
        return
    inside = False
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if _TIMES.fullmatch(line):
            inside = True
        elif not line.strip() or (line.strip().isdigit() and _TIMES.fullmatch(following)):
            inside = inside and bool(line.strip())
        elif inside:
            yield line
