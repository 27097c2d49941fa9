"""Read text documents of Word (.docx) and of OpenDocument (.odt), which are zips of XML."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

from tokenization.quarantine import Rejected
from tokenization.sources.archives import ArchiveError
from tokenization.sources.formats.xml_text import Markup, XmlError, paragraphs
from tokenization.sources.growth import Limited
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row

_DOCX_BODY = re.compile(r"word/document\d*\.xml")
# Deleted text and codes of fields have elements of their own; a fallback repeats what stands before it.
_DOCX = Markup(
    blocks=frozenset({"p", "br", "cr"}),
    skipped=frozenset({"Fallback", "moveFrom", "del"}),
    spaces=frozenset({"tab"}),
    hyphens=frozenset({"noBreakHyphen"}),
    only=frozenset({"t"}),
)
_SHAPES = (
    "frame custom-shape g a rect line ellipse circle polyline polygon regular-polygon path connector caption measure "
    "control area-rectangle area-circle area-polygon"
).split()
_ODT = Markup(
    blocks=frozenset({"p", "h", "line-break"}),
    skipped=frozenset(
        {"note", "annotation", "tracked-changes", "table-of-content", "alphabetical-index", "bibliography",
         "automatic-styles", "font-face-decls", "scripts", "forms", "sequence-decls", "object",
         "binary-data", "desc"}
    ) | {f"{shape}/title" for shape in _SHAPES},
    spaces=frozenset({"s", "tab"}),
)  # fmt: skip


def docx(columns: Columns, part: Slice, stream: IO[bytes], _: Any) -> Iterator[Row | Rejected]:
    """Yield the body of the document, a paragraph per line, as the column `columns.plain` of a row. Headers, footers,
    notes and comments are left out."""
    with zipfile.ZipFile(stream) as archive:
        name = next((name for name in archive.namelist() if _DOCX_BODY.fullmatch(name)), "word/document.xml")
        yield _row(columns, part, archive, name, _DOCX)


def odt(columns: Columns, part: Slice, stream: IO[bytes], _: Any) -> Iterator[Row | Rejected]:
    """Yield the body of the document in the same way."""
    with zipfile.ZipFile(stream) as archive:
        manifest = "META-INF/manifest.xml"
        if manifest in archive.namelist() and b"encryption-data" in member(archive, manifest).read(1 << 20):
            raise ArchiveError("it is encrypted")
        yield _row(columns, part, archive, "content.xml", _ODT)


def member(archive: zipfile.ZipFile, name: str) -> Any:
    """Open a part of a document, which may not grow out of proportion. Raises ArchiveError if it is not there."""
    try:
        info = archive.getinfo(name)
        if info.flag_bits & 1:
            raise ArchiveError("it is encrypted")
        return Limited(archive.open(info), partial(int, info.compress_size))
    except KeyError:
        raise ArchiveError(f"it has no {name}") from None


def _row(columns: Columns, part: Slice, archive: zipfile.ZipFile, name: str, markup: Markup) -> Row | Rejected:
    try:
        text = "\n".join(paragraphs(member(archive, name), markup))
    except XmlError as error:
        return Rejected(part.url, name, "not XML", str(error))
    return Row(part.url, "the whole", {columns.plain: text})
