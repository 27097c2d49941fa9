"""HTML pages -> one document per page, one paragraph of running text per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, paragraphs, prose

_SKIPPED = {"script", "style", "noscript", "nav", "header", "footer", "aside", "pre", "code", "table", "h1", "h2", "h3",
            "h4", "h5", "h6"}  # fmt: skip
_BLOCKS = {"p", "li", "dd", "dt", "blockquote", "td", "div"}
_TAG = re.compile(r"<[^<>]*>")
_LEAST_OUTSIDE_LINKS = 2  # words


def html_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Pages in the order of their paths; program text in a line stays, in a block of its own it does not."""
    for data in read_members(archive, pattern).values():
        if text := prose(blocks(decode(data, "iso8859-2"), _BLOCKS, _SKIPPED - {"code", "table"})):
            yield text


def preformatted_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Pages that are plain text with tags in it."""
    for data in read_members(archive, pattern).values():
        if text := prose(paragraphs(unescape(_TAG.sub("", decode(data))))):
            yield text


def blocks(html: str, tags: set[str] = frozenset({"p"}), skipped: set[str] = frozenset(_SKIPPED)) -> list[str]:
    """The text of every element of `tags`, or up to the next of them, that is more than links, on one line; what
    stands inside elements of `skipped` is left out."""
    parser = _Blocks(tags, skipped)
    parser.feed(html)
    parser.close()
    parser.end_block()
    return parser.blocks


class _Blocks(HTMLParser):
    def __init__(self, tags: set[str], skipped: set[str]) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._tags, self._skipped = tags, skipped
        self._skipping = ""
        self._depth = 0
        self._in_link = False
        self._text: list[str] | None = None
        self._outside_links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
        elif tag in self._skipped or ("class", "MAC") in attributes:  # menus of macOS beside those of other systems
            self._skipping, self._depth = tag, 1
        elif tag in self._tags:
            self.end_block()
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
        elif tag in self._tags:
            self.end_block()
        elif tag == "a":
            self._in_link = False

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._skipping:
            self._text.append(data)
            if not self._in_link:
                self._outside_links.append(data)

    def end_block(self) -> None:
        if self._text is None:
            return
        text = re.sub(r"\s+", " ", "".join(self._text)).strip()
        if len("".join(self._outside_links).split()) >= _LEAST_OUTSIDE_LINKS:
            self.blocks.append(text)
        self._text = None
