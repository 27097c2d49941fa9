"""Help pages of GNOME in Mallard, an XML (`.page`) -> one document per page, one paragraph per line."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import prose

_LEFT_OUT = {"info", "code", "screen"}
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;|#)[^;\s]*;")


def mallard_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Pages in the order of their paths."""
    for data in read_members(archive, pattern).values():
        if text := page_text(data.decode("utf-8")):
            yield text


def page_text(xml: str) -> str:
    """The paragraphs of the body; entities that only the page's DTD knows are left out."""
    root = ET.fromstring(_ENTITY.sub("", re.sub(r"<!DOCTYPE[^\[>]*(\[.*?\]\s*)?>", "", xml, flags=re.DOTALL)))
    return prose(" ".join("".join(element.itertext()).split()) for element in _paragraphs(root))


def _paragraphs(element: ET.Element) -> Iterator[ET.Element]:
    for child in element:
        name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
        if name == "p":
            yield child
        elif name not in _LEFT_OUT:
            yield from _paragraphs(child)
