"""Read running text out of XML without building a tree: TEI, FictionBook, and the parts of office documents.

The parser is expat. A document that declares entities is refused: a few of them can grow to more than a memory holds.
Nothing outside the document is loaded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from typing import Any
from xml.parsers import expat

from tokenization.quarantine import MOST_BYTES, Rejected
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_BLOCK = 1 << 16  # bytes that are parsed at once


class XmlError(ValueError):
    """XML that is not read: it declares entities, or is longer than a document may be."""


@dataclass(frozen=True)
class Markup:
    """What the elements of one kind of XML mean. `blocks` begin and end a paragraph; what is in `skipped` is no running
    text (`a/b`: a `b` in an `a`). `spaces` stand for a space, `hyphens` for a hyphen. If there are any in `only`, no
    other text counts."""

    blocks: frozenset[str]
    skipped: frozenset[str]
    spaces: frozenset[str] = frozenset()
    hyphens: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_TEI = Markup(
    _names("ab argument body cell closer dateline div head item l label lg list opener p quote row salute signed sp "
           "speaker stage table text titlePart trailer u"),
    _names("teiHeader note fw figDesc del choice/sic choice/orig choice/abbr standOff facsimile"),
    _names("lb pb gap space"),
)  # fmt: skip
MARKUPS = dict.fromkeys(("TEI", "TEI.2", "teiCorpus"), _TEI) | {
    "FictionBook": Markup(
        _names("body section title subtitle p v stanza epigraph cite text-author"), _names("description binary")
    )
}
"""By the name of the root element."""
_DOCUMENTS = _names("TEI TEI.2 FictionBook")


def xml(columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield each document of TEI or FictionBook, a paragraph per line, as the column `columns.plain` of a row."""
    found = _Documents()
    parser = safe_parser(decoder)
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler = found.characters
    parser.SkippedEntityHandler = found.entity
    number = 0
    for trouble in parsed(parser, stream):
        for lines in found.taken():
            yield Row(part.url, f"document {number}", {columns.plain: "\n".join(lines)})
            number += 1
        if trouble:
            yield Rejected(part.url, f"document {number}", "not XML", trouble)


def paragraphs(stream: Any, markup: Markup) -> list[str]:
    """Return the paragraphs of a part of an office document. Raises XmlError, also for what is not XML."""
    found = Paragraphs(markup)
    parser = safe_parser()
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler = found.characters
    for trouble in parsed(parser, stream):
        if trouble:
            raise XmlError(trouble)
    return found.taken()


def safe_parser(decoder: TextDecoder | None = None) -> expat.XMLParserType:
    """Return a parser that refuses entities. What the decoder knows about the encoding wins over what is declared."""
    parser = expat.ParserCreate(decoder.name if decoder and decoder.name else None, " ")
    parser.buffer_text = True

    def refuse(name: str, *_: Any) -> None:
        raise XmlError(f"it declares the entity {name}; `xmllint --noent --nonet FILE` writes it without")

    parser.EntityDeclHandler = refuse
    return parser


def parsed(parser: expat.XMLParserType, stream: Any) -> Iterator[str]:
    """Parse the stream block by block. Yields an empty text after each, or at last what is wrong with it."""
    while True:
        block = stream.read(_BLOCK)
        try:
            parser.Parse(block, not block)
        except (expat.ExpatError, XmlError) as error:
            yield str(error)
            return
        yield ""
        if not block:
            return


def local(name: str) -> str:
    """Return the name of an element without its namespace."""
    return name.rpartition(" ")[2]


@dataclass
class Paragraphs:
    """Collects the paragraphs of a document."""

    markup: Markup
    _done: list[str] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)
    _skipping: int = 0  # how many elements are open from the skipped one on
    _size: int = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        """An element begins."""
        name, markup = local(name), self.markup
        path = f"{self._open[-1] if self._open else ''}/{name}"
        self._open.append(name)
        if self._skipping or name in markup.skipped or path in markup.skipped:
            self._skipping += 1
        elif name in markup.blocks:
            self._end_paragraph()
        elif name in markup.spaces:
            self._text.append(" ")
        elif name in markup.hyphens:
            self._text.append("-")

    def end(self, name: str) -> None:
        """An element ends."""
        self._open.pop()
        if self._skipping:
            self._skipping -= 1
        elif local(name) in self.markup.blocks:
            self._end_paragraph()

    def characters(self, text: str) -> None:
        """Text within the element that is open."""
        if self._skipping or (self.markup.only and self._open[-1] not in self.markup.only):
            return
        self._size += len(text)
        if self._size > MOST_BYTES:
            raise XmlError(f"a document of more than {MOST_BYTES:,} characters")
        self._text.append(text)

    def taken(self) -> list[str]:
        """Return the paragraphs, and begin another document."""
        self._end_paragraph()
        done, self._done, self._size = self._done, [], 0
        return done

    def _end_paragraph(self) -> None:
        if text := " ".join("".join(self._text).split()):
            self._done.append(text)
        self._text.clear()


class _Documents:
    """Collects documents. The root element says what the elements mean."""

    def __init__(self) -> None:
        self._inside: Paragraphs | None = None
        self._done: list[list[str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._inside is None:
            if local(name) not in MARKUPS:
                raise XmlError(f"its first element is <{local(name)}>; those that are read are {', '.join(MARKUPS)}")
            self._inside = Paragraphs(MARKUPS[local(name)])
        self._inside.start(name, attributes)

    def end(self, name: str) -> None:
        assert self._inside
        self._inside.end(name)
        if local(name) in _DOCUMENTS:
            self._done.append(self._inside.taken())

    def characters(self, text: str) -> None:
        if self._inside:
            self._inside.characters(text)

    def entity(self, name: str, is_parameter: bool) -> None:
        """One that a file outside declares: letters and signs have the names that HTML gives them."""
        if not is_parameter:
            self.characters(html5.get(f"{name};", "\ufffd"))

    def taken(self) -> list[list[str]]:
        done, self._done = self._done, []
        return done
