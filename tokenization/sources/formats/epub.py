"""Read books in EPUB: a zip of pages, and a list that says in which order they are read."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import IO
from urllib.parse import unquote

from tokenization.quarantine import MOST_BYTES, Rejected
from tokenization.sources.archives import ArchiveError
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.formats.office import member
from tokenization.sources.formats.web import text_of
from tokenization.sources.formats.xml_text import XmlError, local, parsed, safe_parser
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")
_EMPTY = re.compile(rb"<([A-Za-z][\w:-]*)((?:\s[^<>]*)?)/>")  # HTML has no such elements, and would not end them
_VOID = (b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta", b"source", b"wbr")
Elements = list[tuple[str, dict[str, str]]]


def epub(columns: Columns, part: Slice, stream: IO[bytes], decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield the book as the column `columns.plain` of a row, and a `Rejected` for each page that cannot be read. The
    table of contents is left out."""
    with zipfile.ZipFile(stream) as archive:
        pages = list(_reading_order(archive))
        there = set(archive.namelist())
        hidden = member(archive, _ENCRYPTION).read(MOST_BYTES).decode(errors="replace") if _ENCRYPTION in there else ""
        texts, size = [], 0
        for page in pages:
            if page not in there:
                yield Rejected(part.url, page, "unreadable", "the book names this page and does not have it")
                continue
            if f'"{page}"' in hidden:
                raise ArchiveError("its pages are encrypted")
            content = _closed(member(archive, page).read(MOST_BYTES - size + 1))
            size += len(content)
            if size > MOST_BYTES:
                yield Rejected(part.url, page, "too long", f"a book of more than {MOST_BYTES:,} bytes")
                return
            texts.append(text_of(content, TextDecoder(decoder.language), whole=True))
    yield Row(part.url, "the whole", {columns.plain: "\n\n".join(filter(None, texts))})


def _reading_order(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the paths of the pages. Raises ArchiveError if nothing says which there are."""
    roots = [attributes.get("full-path", "") for name, attributes in _elements(archive, _CONTAINER)
             if name == "rootfile"]  # fmt: skip
    if not roots:
        raise ArchiveError(f"its {_CONTAINER} names no book")
    package = _elements(archive, roots[0])
    folder = posixpath.dirname(roots[0])
    items = {attributes.get("id"): attributes for name, attributes in package if name == "item"}
    for name, attributes in package:
        item = items.get(attributes.get("idref")) if name == "itemref" else None
        if item and item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split():
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "").partition("#")[0])))


def _elements(archive: zipfile.ZipFile, path: str) -> Elements:
    found: Elements = []
    parser = safe_parser()
    parser.StartElementHandler = lambda name, attributes: found.append((local(name), attributes))
    for trouble in parsed(parser, member(archive, path)):
        if trouble:
            raise XmlError(f"{path}: {trouble}")
    return found


def _closed(page: bytes) -> bytes:
    return _EMPTY.sub(
        lambda one: one[0] if one[1].lower() in _VOID else b"<%b%b></%b>" % (one[1], one[2], one[1]), page
    )
