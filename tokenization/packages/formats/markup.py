"""Extract running text from pages in HTML, a paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import LEAST_WORDS, decode, paragraphs, prose, titled

_SKIPPED = {"script", "style", "noscript", "nav", "header", "footer", "aside", "pre", "code", "table", "h1", "h2", "h3",
            "h4", "h5", "h6"}  # fmt: skip
_BLOCKS = {"p", "li", "dd", "dt", "blockquote", "td", "div"}
_TAG = re.compile(r"<[^<>]*>")
_LEAST_OUTSIDE_LINKS = 2  # words
_CHOICE = "switchinline"  # a class of LibreOffice's help


def html_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield pages in the order of their paths. Program text inside a line stays; a block of program text does not."""
    for data in read_members(archive, pattern).values():
        if text := prose(blocks(decode(data, "iso8859-2"), _BLOCKS, _SKIPPED - {"code", "table"})):
            yield text


def preformatted_pages(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield pages that are plain text with tags in it."""
    for data in read_members(archive, pattern).values():
        if text := prose(paragraphs(unescape(_TAG.sub("", decode(data))))):
            yield text


def blocks(html: str, tags: Set[str] = frozenset({"p"}), skipped: Set[str] = frozenset(_SKIPPED)) -> list[str]:
    """Return the text of each element in `tags` on one line, unless it is nothing but links. An element that is not
    closed ends where the next begins. Text inside elements in `skipped` is left out. Of words for several systems and
    programs, which LibreOffice's pages have side by side, the first ones stay that are not for macOS."""
    parser = _Blocks(tags, skipped)
    parser.feed(html)
    parser.close()
    parser.end_block()
    return parser.blocks


@dataclass
class _Choice:
    """An open element whose children say the same for several systems or programs: how many elements of its kind are
    open, and whether one of the children has had any words."""

    tag: str
    depth: int = 1
    is_made: bool = False


class _Blocks(HTMLParser):
    def __init__(self, tags: Set[str], skipped: Set[str]) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._tags, self._skipped = tags, skipped
        self._skipping = ""
        self._depth = 0
        self._choices: list[_Choice] = []
        self._in_link = False
        self._text: list[str] | None = None
        self._outside_links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
            return
        if tag in self._skipped or self._is_other_choice(attrs):
            self._skipping, self._depth = tag, 1
            return
        for choice in self._choices:
            choice.depth += tag == choice.tag
        if ("class", _CHOICE) in attrs:
            self._choices.append(_Choice(tag))
        if tag in self._tags:
            self.end_block()
            self._text, self._outside_links, self._in_link = [], [], False
        elif tag == "br":
            self.handle_data(" ")
        elif tag == "a":
            self._in_link = any(name == "href" for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if not self._depth:
                self._skipping = ""
            return
        for choice in self._choices:
            choice.depth -= tag == choice.tag
        self._choices = [choice for choice in self._choices if choice.depth]
        if tag in self._tags:
            self.end_block()
        elif tag == "a":
            self._in_link = False

    def _is_other_choice(self, attrs: list[tuple[str, str | None]]) -> bool:
        """Whether an element is a choice that is not shown. All choices are marked as hidden: a script shows one."""
        if ("class", "MAC") in attrs:
            return True
        choice = self._choices[-1] if self._choices and ("hidden", "true") in attrs else None
        return choice is not None and choice.depth == 1 and choice.is_made

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._skipping:
            for choice in self._choices:
                choice.is_made |= not data.isspace()
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


# Guides in prose come first, the reference of the BASIC language last, since a source may be cut after some bytes.
_ORDER = ("swriter", "shared", "simpress", "sdraw", "scalc", "schart", "sdatabase", "smath", "sbasic")
_SENTENCE = re.compile(r"[.!?:)”\"]$")  # other endings introduce an icon or a table
_TITLE = re.compile(r"<title>([^<]*)</title>")
_FORMULA = re.compile(r"^[='{]|^[A-Z][A-Z0-9._]+ ?\(")


def help_pages(archive: bytes) -> Iterator[str]:
    """Yield LibreOffice's help pages: the title, then paragraphs of running text. Headings, tables, program text and
    lists of links are left out."""
    pages = read_members(archive, r"/help/[^/]+/text/.*\.html$")

    def reading_order(path: str) -> tuple[int, str]:
        module = path.split("/text/")[1].split("/")[0]
        return (_ORDER.index(module) if module in _ORDER else len(_ORDER), path)

    for path in sorted(pages, key=reading_order):
        if text := help_text(pages[path].decode("utf-8")):
            yield text


def help_text(html: str) -> str:
    """Return the title of a page and its paragraphs that are sentences of at least five words and more than links."""
    title = " ".join(unescape(found[1]).split()) if (found := _TITLE.search(html)) else ""
    return titled(title, "\n".join(filter(_is_sentence, blocks(html))))


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= LEAST_WORDS and bool(_SENTENCE.search(text)) and not _FORMULA.match(text)
