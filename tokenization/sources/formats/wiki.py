"""Read dumps of MediaWiki, such as those of Wikipedia: one document for each article."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Rejected
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.formats.wikitext import is_redirect, without_markup
from tokenization.sources.formats.xml_text import local, parsed, safe_parser
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_ARTICLES = "0"  # the namespace of articles; others hold talk, users, files, templates
_READ = ("title", "ns", "text")


def wiki(columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield the title and the text of each article as the column `columns.plain` of a row, of its last revision in the
    file. Redirects and other pages are counted in one `Rejected` at the end."""
    pages = _Pages()
    parser = safe_parser(decoder)
    parser.StartElementHandler, parser.EndElementHandler = pages.start, pages.end
    parser.CharacterDataHandler = pages.characters
    left_out: Counter[str] = Counter()
    for trouble in parsed(parser, stream):
        for page in pages.taken():
            title, namespace, source = (page.get(name, "") for name in _READ)
            place = f"page {title!r}"
            if "redirect" in page or is_redirect(source):
                left_out["redirects"] += 1
            elif namespace not in ("", _ARTICLES):
                left_out[f"pages of namespace {namespace}"] += 1
            elif len(source) > MOST_BYTES:
                yield Rejected(part.url, place, "too long", f"more than {MOST_BYTES:,} characters")
            elif text := without_markup(source):
                yield Row(part.url, place, {columns.plain: f"{title}\n\n{text}"})
            else:
                yield Rejected(part.url, place, "empty", "nothing but templates, tables and lists of links")
        if trouble:
            yield Rejected(part.url, f"after page {pages.title!r}", "not XML", trouble)
    if left_out:
        detail = ", ".join(f"{count:,} {kind}" for kind, count in left_out.most_common(5))
        yield Rejected(part.url, "the whole", "not text", detail)


class _Pages:
    """Collects pages, each with the texts of some of its elements."""

    def __init__(self) -> None:
        self.title = ""
        self._page: dict[str, str] = {}
        self._done: list[dict[str, str]] = []
        self._reading = ""
        self._text: list[str] = []
        self._size = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        name = local(name)
        if name == "page":
            self._page = {}
        elif name == "redirect":
            self._page[name] = ""
        self._reading, self._text, self._size = (name if name in _READ else ""), [], 0

    def end(self, name: str) -> None:
        name = local(name)
        if name == self._reading:
            self._page[name] = "".join(self._text)
        if name == "page":
            self.title = self._page.get("title", "")
            self._done.append(self._page)
        self._reading = ""

    def characters(self, text: str) -> None:
        if self._reading and self._size <= MOST_BYTES:
            self._size += len(text)
            self._text.append(text)

    def taken(self) -> list[dict[str, str]]:
        done, self._done = self._done, []
        return done
