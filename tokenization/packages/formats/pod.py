"""Perl's plain old documentation (`.pod`) -> one document per page, of its running text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, prose

_CODE = re.compile(r"([A-Z])(?:<<+ (.*?) >>+|<([^<>]*)>)", re.DOTALL)
_NAMED = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}


def pod_pages(archive: bytes, pattern: str = r"\.pod$") -> Iterator[str]:
    """Pages in the order of their paths."""
    for data in read_members(archive, pattern).values():
        if text := page_text(decode(data)):
            yield text


def page_text(pod: str) -> str:
    """Ordinary paragraphs that are prose; commands and verbatim (indented) ones are left out."""
    blocks = re.split(r"\n[ \t]*\n", pod)
    return prose(plain(" ".join(block.split())) for block in blocks if not re.match(r"\n*[=\s]", block))


def plain(text: str) -> str:
    """Without formatting codes, innermost first; a link is its text, an index entry nothing."""
    while (changed := _CODE.sub(_content, text)) != text:
        text = changed
    return text.replace("\1", "<").replace("\2", ">")


def _content(match: re.Match[str]) -> str:
    code, content = match[1], match[2] or match[3] or ""
    if code == "E":
        return {"lt": "\1", "gt": "\2"}.get(content, _NAMED.get(content, ""))
    if code in "XZ":
        return ""
    return content.partition("|")[0] if code == "L" else content.replace("<", "\1").replace(">", "\2")
