"""LibreOffice help: HTML pages -> one document per page, one paragraph per line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.html_pages import blocks
from tokenization.packages.formats.plain_text import LEAST_WORDS

# Guides in prose first, the reference of the BASIC language last: a source may be cut after some bytes.
_ORDER = ("swriter", "shared", "simpress", "sdraw", "scalc", "schart", "sdatabase", "smath", "sbasic")
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
    return "\n".join(filter(_is_sentence, blocks(html)))


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= LEAST_WORDS and bool(_SENTENCE.search(text)) and not _FORMULA.match(text)
