"""Read the members of zip and tar archives one after another, within limits, without unpacking them to a folder, and
tell the documents that are zips."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import IO, NamedTuple

from tokenization.sources.folders import is_left_out
from tokenization.sources.growth import Limited
from tokenization.sources.sniffing import UnreadFormatError
from tokenization.sources.source import Format
from tokenization.sources.streams import buffered

MOST_MEMBERS = 1_000_000
_MIMETYPE, _OPEN_DOCUMENT = "mimetype", "application/vnd.oasis.opendocument."
_MAIN_PART = {"docx": "word/document", "odt": "content.xml", "epub": "META-INF/container.xml"}


class ArchiveError(ValueError):
    """An archive that is not read, since it has too many members."""


class ArchiveMember(NamedTuple):
    """A file in an archive: its path there and its content. Without content it cannot be read, for the reason in
    `trouble`, or it is left out."""

    path: str
    content: io.BufferedReader | None = None
    trouble: str = ""


def zip_members(archive: zipfile.ZipFile) -> Iterator[ArchiveMember]:
    """Yield the files in a zip, in its order."""
    _check_count(len(archive.infolist()))
    for info in archive.infolist():
        if info.is_dir():
            continue
        if is_left_out(info.filename):
            yield ArchiveMember(info.filename)
        elif info.flag_bits & 1:
            yield ArchiveMember(info.filename, trouble="it is encrypted")
        else:
            try:
                content = archive.open(info)
            except (zipfile.BadZipFile, NotImplementedError) as error:
                yield ArchiveMember(info.filename, trouble=str(error))
                continue
            with content:
                yield ArchiveMember(info.filename, buffered(Limited(content, partial(int, info.compress_size))))


def document_in(archive: zipfile.ZipFile, stated: Format | None) -> Format | None:
    """Return the format of the document that a zip is, or None if it is an archive of files: of files in the format
    that is `stated`, if one is. Raises UnreadFormatError for a document that is not read."""
    names = archive.NameToInfo
    if stated:
        part = _MAIN_PART.get(stated)
        return stated if part and any(name.startswith(part) for name in names) else None
    if _MIMETYPE in names:
        kind = _mimetype(archive)
        if kind == "application/epub+zip":
            return "epub"
        if kind.startswith(_OPEN_DOCUMENT):
            if kind.removeprefix(_OPEN_DOCUMENT).startswith("text"):
                return "odt"
            raise UnreadFormatError(
                f"it is a document of kind {kind}; save a table as CSV, and other documents as text"
            )
    if "META-INF/container.xml" in names and any(name.endswith(".opf") for name in names):
        return "epub"
    if "[Content_Types].xml" in names:
        if any(name.startswith("word/document") for name in names):
            return "docx"
        if "xl/workbook.xml" in names or "xl/workbook.bin" in names:
            raise UnreadFormatError("it is a table of Excel; save it as CSV")
        if "ppt/presentation.xml" in names:
            raise UnreadFormatError("it is slides of PowerPoint; save them as text")
    return None


def _mimetype(archive: zipfile.ZipFile) -> str:
    """Return the beginning of the member that states the kind of a document; nothing if it cannot be read."""
    info = archive.getinfo(_MIMETYPE)
    if info.flag_bits & 1:
        return ""
    try:
        with archive.open(info) as content:
            return content.read(100).decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
        return ""


def tar_members(stream: IO[bytes]) -> Iterator[ArchiveMember]:
    """Yield the files in a tar, in its order. Links in it name files that come anyway."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        count = 0
        while info := archive.next():
            vars(archive)["members"].clear()  # the library keeps them all
            _check_count(count := count + 1)
            if info.isreg():
                content = None if is_left_out(info.name) else archive.extractfile(info)
                yield ArchiveMember(info.name, buffered(content) if content else None)


def _check_count(members: int) -> None:
    if members > MOST_MEMBERS:
        raise ArchiveError(f"it has more than {MOST_MEMBERS:,} members")
