"""LibreOffice help: HTML pages -> one document per page, one paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from tokenization.extract.archive import read_members

# Guides in prose first, the reference of the BASIC language last: a source may be cut after some bytes.
_ORDER = ("swriter", "shared", "simpress", "sdraw", "scalc", "schart", "sdatabase", "smath", "sbasic")
_SKIPPED = {"script", "style", "noscript", "nav", "header", "footer", "aside", "pre", "code", "table", "h1", "h2", "h3",
            "h4", "h5", "h6"}  # fmt: skip
_LEAST_WORDS = 5
_SENTENCE = re.compile(r"[.!?:)”\"]$")  # others introduce an icon or a table
_FORMULA = re.compile(r"^[='{]|^[A-Z][A-Z0-9._]+ ?\(")


def help_pages(archive: bytes) -> Iterator[str]:
    """Paragraphs of running text; headings, tables, program text and lists of links are left out."""
    pages = read_members(archive, r"/help/[^/]+/text/.*\.html$")

    def reading_order(path: str) -> tuple[int, str]:
        module = path.split("/text/")[1].split("/")[0]
        return (_ORDER.index(module) if module in _ORDER else len(_ORDER), path)

    for path in sorted(pages, key=reading_order):
        if text := page_text(pages[path].decode("utf-8")):
            yield text


def page_text(html: str) -> str:
    """The paragraphs of one page that are sentences of at least five words and more than links."""
    parser = _Paragraphs()
    parser.feed(html)
    parser.close()
    return "\n".join(parser.paragraphs)


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self._skipping = ""
        self._depth = 0
        self._in_link = False
        self._text: list[str] | None = None
        self._outside_links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
        elif tag in _SKIPPED or ("class", "MAC") in attributes:  # menus of macOS beside those of other systems
            self._skipping, self._depth = tag, 1
        elif tag == "p":
            self._end_paragraph()
            self._text, self._outside_links, self._in_link = [], [], False
        elif tag == "br":
            self.handle_data(" ")
        elif tag == "a":
            self._in_link = any(name == "href" for name, _ in attributes)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if not self._depth:
                self._skipping = ""
        elif tag == "p":
            self._end_paragraph()
        elif tag == "a":
            self._in_link = False

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._skipping:
            self._text.append(data)
            if not self._in_link:
                self._outside_links.append(data)

    def _end_paragraph(self) -> None:
        if self._text is None:
            return
        text = re.sub(r"\s+", " ", "".join(self._text)).strip()
        only_links = len("".join(self._outside_links).split()) < 2
        sentence = _SENTENCE.search(text) and not _FORMULA.match(text)
        if sentence and len(text.split()) >= _LEAST_WORDS and not only_links:
            self.paragraphs.append(text)
        self._text = None
