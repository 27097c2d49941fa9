"""Read slices of files row by row: tell compression, format and encoding, and report what cannot be read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import IO, Any

from tokenization.files.storage import NO_SPACE
from tokenization.quarantine import Reason, Rejected, missing
from tokenization.sources.addresses import located
from tokenization.sources.archives import ArchiveError, ArchiveMember, document_in, tar_members, zip_members
from tokenization.sources.compression import compression_of, decompressed, without_ending
from tokenization.sources.encoding import EncodingError, TextDecoder
from tokenization.sources.formats.arrow import arrow
from tokenization.sources.formats.epub import epub
from tokenization.sources.formats.json_items import json_items
from tokenization.sources.formats.lines import json_lines
from tokenization.sources.formats.mail import mail
from tokenization.sources.formats.office import docx, odt
from tokenization.sources.formats.parquet import parquet
from tokenization.sources.formats.plain import plain_text
from tokenization.sources.formats.subtitles import subtitles
from tokenization.sources.formats.tables import table
from tokenization.sources.formats.web import html_page, warc_records
from tokenization.sources.formats.wiki import wiki
from tokenization.sources.formats.xml_text import xml
from tokenization.sources.growth import GrowthError
from tokenization.sources.listing import Slice, is_there, name_of
from tokenization.sources.seen import Seen
from tokenization.sources.sniffing import HEAD_BYTES, ZIPPED, FormatError, UnreadFormatError, binary_format, text_format
from tokenization.sources.source import Columns, Files, Format, Row
from tokenization.sources.streams import at_its_start, opened, seekable, unpacked

_READERS: dict[str, Callable[[Columns, Slice, Any, TextDecoder], Iterator[Row | Rejected]]] = {
    "jsonl": json_lines, "json": json_items, "csv": table, "tsv": partial(table, default="\t"),
    "parquet": parquet, "arrow": arrow, "text": plain_text, "html": html_page, "warc": warc_records, "docx": docx,
    "odt": odt, "epub": epub, "mail": mail, "subtitles": subtitles, "wiki": wiki, "xml": xml,
}  # fmt: skip
_AT_ANY_PLACE: tuple[Format, ...] = ("parquet", "arrow", *ZIPPED)
_BINARY: tuple[Format, ...] = (*_AT_ANY_PLACE, "warc")
_OF_PLAIN_TEXT: tuple[Format, ...] = ("text", "html", "warc", *ZIPPED, "mail", "subtitles", "wiki", "xml")
_REASONS: dict[type, Reason] = {FormatError: "unknown format", UnreadFormatError: "format not read",
                                EncodingError: "unknown encoding", ArchiveError: "unreadable",
                                GrowthError: "unreadable"}  # fmt: skip


def read_rows(source: Files, parts: Iterable[Slice], seen: Seen | None = None) -> Iterator[Row | Rejected]:
    """Yield the rows of slices of files. `seen` learns the formats and encodings.

    If a file is damaged or lost, its slice ends there; what was read before is kept.
    """
    for part in parts:
        yield from _guarded(part.url, part.url, _File(source, part, seen or Seen()).rows())


def _guarded(url: str, file: str, found: Iterator[Row | Rejected]) -> Iterator[Row | Rejected]:
    """Yield rows of what is at `url`, in a file. An error ends them with a `Rejected`."""
    rows = 0
    try:
        for row in found:
            rows += isinstance(row, Row)
            yield row
    except Exception as error:  # filesystems, decompressors and formats raise many kinds
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise  # nothing is wrong with the file
        place = f"after {rows:,} rows"
        if reason := _REASONS.get(type(error)):
            yield Rejected(url, place, reason, str(error))
        else:
            reason = "unreadable" if is_there(file) else "gone"
            yield Rejected(url, place, reason, f"{type(error).__name__}: {error}")


class _File:
    """One slice of a file, which may be an archive."""

    def __init__(self, source: Files, part: Slice, seen: Seen) -> None:
        self._source, self._part, self._seen = source, part, seen
        self._stated = None if source.format in ("zip", "tar") else source.format
        self._fs, self._path = located(part.url)

    def rows(self) -> Iterator[Row | Rejected]:
        """Yield the rows that begin in the slice."""
        part, name = self._part, name_of(self._part.url)
        with opened(self._fs, self._path) as stream:
            head = _head(stream)
            if not head:
                yield Rejected(part.url, "the whole", "empty")
                return
            if codec := compression_of(name, head):
                stream, name = decompressed(stream, codec), without_ending(name)
                head = _head(stream)
                if not head:
                    yield Rejected(part.url, "the whole", "empty")
                    return
            kind = binary_format(head)
            if kind in ("zip", "tar"):
                if not part.start:
                    yield from self._archive(kind, name, stream, bool(codec))
            elif self._source.format in ("zip", "tar", *ZIPPED):
                raise FormatError(f"it is no {self._source.format}")
            else:
                yield from self._content(part, name, stream, is_file=not codec)

    def _archive(
        self, kind: Format, name: str, stream: io.BufferedReader, compressed: bool
    ) -> Iterator[Row | Rejected]:
        if kind == "tar":
            yield from self._members(kind, tar_members(stream))
            return
        with (
            unpacked(stream) if compressed else seekable(self._fs, self._path) as file,
            zipfile.ZipFile(file) as archive,
        ):
            document = None if self._source.format == "zip" else document_in(archive, self._stated)
            if document:
                yield from self._content(self._part, name, at_its_start(file), is_file=False, kind=document)
            else:
                yield from self._members(kind, zip_members(archive))

    def _members(self, archive: Format, members: Iterator[ArchiveMember]) -> Iterator[Row | Rejected]:
        for member in members:
            url = f"{archive}://{member.path}::{self._part.url}"
            if member.content is None:
                if member.trouble:
                    yield Rejected(url, "the whole", "unreadable", member.trouble)
                else:
                    self._seen.skipped(url)
            else:
                yield from _guarded(
                    url, self._part.url, self._member(Slice(url), member.path.rpartition("/")[2], member.content)
                )

    def _member(self, part: Slice, name: str, stream: io.BufferedReader) -> Iterator[Row | Rejected]:
        head = _head(stream)
        if not head:
            yield Rejected(part.url, "the whole", "empty")
            return
        if codec := compression_of(name, head):
            stream, name = decompressed(stream, codec), without_ending(name)
        found = binary_format(_head(stream))
        if found == "zip":
            with unpacked(stream) as file, zipfile.ZipFile(file) as archive:
                if document := document_in(archive, self._stated):
                    yield from self._content(part, name, at_its_start(file), is_file=False, kind=document)
                    return
        if found in ("zip", "tar"):
            raise FormatError(f"it is a {found} in an archive; only files in archives are read")
        if self._stated in ZIPPED:
            raise FormatError(f"it is no {self._stated}")
        yield from self._content(part, name, stream, is_file=False)

    def _content(
        self, part: Slice, name: str, stream: io.BufferedReader, is_file: bool, kind: Format | None = None
    ) -> Iterator[Row | Rejected]:
        """Yield rows of what is no archive. `is_file`: the stream is the file itself, and not something in it. `kind`
        is the format, if it is known."""
        decoder = TextDecoder(self._source.language, self._source.encoding)
        columns = _theirs(self._source)
        kind = kind or self._stated or binary_format(_head(stream))
        if kind not in _BINARY:
            stream = decoder.narrow(stream)
            kind = kind or text_format(without_ending(name), _head(stream), columns, decoder)
        if kind in _OF_PLAIN_TEXT and not columns.plain:
            raise FormatError(f"it is {kind}, which has no columns {', '.join(sorted(columns.required))}")
        lines = kind == "jsonl" or (kind == "text" and columns.split_by != "document")
        if not (is_file and (lines or kind == "parquet") and not decoder.is_recoded):
            if part.start:
                return  # the first slice reads it all
            part = replace(part, stop=None)
        with ExitStack() as stack:
            if kind in _AT_ANY_PLACE:
                at_any_place = seekable(self._fs, self._path) if is_file else self._local(stream)
                rows = _READERS[kind](columns, part, stack.enter_context(at_any_place), decoder)
            else:
                if part.start:
                    stream = stack.enter_context(opened(self._fs, self._path, part.start - 1))
                rows = _READERS[kind](columns, part, stream, decoder)
            for row in rows:
                as_it_is = not self._source.columns or kind in _OF_PLAIN_TEXT or isinstance(row, Rejected)
                yield row if as_it_is else _ours(self._source, row)
        if not part.start:
            self._seen.read(kind, decoder.found)

    @staticmethod
    def _local(stream: io.BufferedReader) -> AbstractContextManager[IO[bytes]]:
        return nullcontext(stream) if stream.seekable() else unpacked(stream)


def _head(stream: io.BufferedReader) -> bytes:
    return stream.peek(HEAD_BYTES)[:HEAD_BYTES]


def _theirs(source: Files) -> Columns:
    """The columns under the names that they have in the files."""
    names, wanted = source.columns, source.wanted
    required, fields = (
        frozenset(names.get(name, name) for name in which) for which in (wanted.required, wanted.fields)
    )
    return replace(wanted, required=required, fields=fields)


def _ours(source: Files, row: Row) -> Row | Rejected:
    """The row under our names."""
    names = source.columns
    for ours in source.wanted.required & names.keys():
        if names[ours] not in row.values:
            return Rejected(row.file, row.place, *missing(names[ours], row.values))
    values = {name: value for name, value in row.values.items() if name not in names}
    return row._replace(values=values | {ours: row.values.get(theirs) for ours, theirs in names.items()})
