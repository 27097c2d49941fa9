"""Extract running text from pages in Mallard (http://projectmallard.org/1.0/), an XML format, a paragraph per line."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import prose, titled

_LEFT_OUT = {"info", "code", "screen", "comment"}  # comments are notes of the authors to each other
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(\[.*?\]\s*)?>", re.DOTALL)
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;|apos;|#)[^;\s]*;")
_BETWEEN = {"keyseq": "+", "guiseq": " ▸ "}  # what GNOME shows between keys and between menus


def mallard_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield GNOME's help pages (`.page`) in the order of their paths: the title, then the paragraphs. A link without a
    text gets the title of the page or section that it leads to."""
    pages = {path: _page(data.decode("utf-8")) for path, data in read_members(archive, pattern).items()}
    titles: defaultdict[str, dict[str, str]] = defaultdict(dict)  # of each folder
    for path, page in pages.items():
        titles[path.rpartition("/")[0]].update(_titles(page))
    for path, page in pages.items():
        there = titles[path.rpartition("/")[0]]
        if text := titled(_title(page), prose(_line(paragraph, there) for paragraph in _paragraphs(page))):
            yield text


def _page(xml: str) -> ET.Element:
    """Parse a page, without entities that only its DTD defines."""
    return ET.fromstring(_ENTITY.sub("", _DOCTYPE.sub("", xml)))


def _titles(page: ET.Element) -> Iterator[tuple[str, str]]:
    """Yield what links call the page and each of its sections, with the titles."""
    name = page.get("id", "")
    for element in page.iter():
        if element.get("id"):
            yield name if element is page else f"{name}#{element.get('id')}", _title(element)


def _title(element: ET.Element) -> str:
    return next((_line(child, {}) for child in element if _name(child) == "title"), "")


def _paragraphs(element: ET.Element) -> Iterator[ET.Element]:
    for child in element:
        if _name(child) == "p":
            yield child
        elif _name(child) not in _LEFT_OUT:
            yield from _paragraphs(child)


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _line(element: ET.Element, titles: Mapping[str, str]) -> str:
    return " ".join(_text(element, titles).split())


def _text(element: ET.Element, titles: Mapping[str, str]) -> str:
    """Return the text of an element. Between the keys of a combination and between menus stands at most white space."""
    name = _name(element)
    if between := _BETWEEN.get(name):
        return (" " if element.get("type") == "sequence" else between).join(_line(child, titles) for child in element)
    text = "".join((element.text or "", *(_text(child, titles) + (child.tail or "") for child in element)))
    if name == "link" and not text.strip():
        return titles.get(element.get("xref", ""), element.get("href", ""))
    return text
