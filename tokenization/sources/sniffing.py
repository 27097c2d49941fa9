"""Tell the format of a file from its content, with its name as a hint."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from copy import copy

from tokenization.sources.encoding import EncodingError, TextDecoder
from tokenization.sources.signs import are_subtitles, is_mail, root_of, unread_text
from tokenization.sources.source import Columns, Format

HEAD_BYTES = 1 << 16  # of the content, to look at
DELIMITERS = ",\t;|"
_BINARY: dict[Format, tuple[int, bytes | tuple[bytes, ...]]] = {
    "parquet": (0, b"PAR1"),
    "arrow": (0, b"ARROW1\0\0"),
    "zip": (0, b"PK\x03\x04"),
    "tar": (257, b"ustar"),
    "warc": (0, (b"WARC/0.", b"WARC/1.")),
}
_ARROW_STREAM = b"\xff\xff\xff\xff"
_TAR_HEADER, _TAR_SUM = 512, slice(148, 156)  # bytes; tar of Version 7 has no other sign than the sum of its header
_CONVERT = "; `soffice --headless --convert-to txt:Text:UTF8 FILE` writes its text"
_UNREAD = [
    (rb"%PDF-", "a PDF; `pdftotext -enc UTF-8 FILE` writes its text"),
    (rb"\{\\rtf[\d\\]", f"RTF{_CONVERT}"),
    (rb"\xd0\xcf\x11\xe0", f"a document of old Office, or an encrypted one{_CONVERT} if it needs no password"),
    (rb"PK\x05\x06", "an empty zip"),
    (rb"Obj\x01", "Avro; write it as Parquet"),
    (rb"ORC[\0-\x08\x0b\x0c\x0e-\x1f]", "ORC; write it as Parquet"),
    (rb"SQLite format 3\0", "a database of SQLite; `sqlite3 -csv -header FILE 'select ...'` writes a table"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (rb"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (rb"FEA1\0", "Feather of version 1; write it as Parquet"),
    (rb"version https://git-lfs\.github\.com/spec/v\d+\r?\n", "a pointer of Git LFS; `git lfs pull` fetches the file"),
    (rb"/annex/objects/\S+\s*\Z", "a pointer of git-annex; `git annex get FILE` fetches the file"),
]
_ENDINGS: dict[str, Format] = {
    "txt": "text", "text": "text", "md": "text", "markdown": "text", "rst": "text", "jsonl": "jsonl", "ndjson": "jsonl",
    "json": "json", "csv": "csv", "tsv": "tsv", "tab": "tsv", "parquet": "parquet", "pq": "parquet", "arrow": "arrow",
    "feather": "arrow", "html": "html", "htm": "html", "xhtml": "html", "warc": "warc", "wet": "warc", "zip": "zip",
    "tar": "tar", "tgz": "tar", "docx": "docx", "odt": "odt", "epub": "epub", "eml": "mail", "mbox": "mail",
    "srt": "subtitles", "vtt": "subtitles", "fb2": "xml",
}  # fmt: skip
ZIPPED: tuple[Format, ...] = ("docx", "odt", "epub")
_PACKED: tuple[Format, ...] = ("zip", "tar", *ZIPPED)
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?((?><!--.*?-->)\s*)*(<!doctype html|<html[\s>])", re.IGNORECASE | re.DOTALL)
_DECLARED = re.compile(rb"\s*<\?xml\s")
_ARRAY = re.compile(rb"\s*\[\s*(\{|\"(?=.*\"\s*[,\]]))", re.DOTALL)
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)'
_WHOLE_ARRAY = re.compile(  # up to an object in it, its end, or that of the head
    rb"\s*\[\s*(?:(?:%b|[\w.+-]++)\s*+(?:,\s*+|(?=\])|\Z))*+(?:\{\s*(?:[\"}]|\Z)|\[|\]\s*(?:\Z|[\[{])|\Z)" % _TEXT,
    re.DOTALL,
)
_MARK = b" \t\r\n\x1e"  # RFC 7464 puts the last one before each object
_OBJECT = re.compile(rb"[\s\x1e]*\{\s*(\"|\}|$)")
_FIELD = re.compile(rb"[\s\x1e]*\{\s*\"[^\"\n]{1,60}\"\s*:\s*[\"{\[\d]")
_ROOTS: dict[bytes, Format] = {
    b"mediawiki": "wiki", b"TEI": "xml", b"TEI.2": "xml", b"teiCorpus": "xml", b"FictionBook": "xml",
}  # fmt: skip


class FormatError(ValueError):
    """Content of no format that is known."""


class UnreadFormatError(ValueError):
    """Content of a known format that is not read."""


def ending_format(name: str) -> Format | None:
    """Return the format that an ending promises. The ending of a compression must be gone."""
    stem, point, ending = name.lower().rpartition(".")
    return _ENDINGS.get(ending) if stem and point else None


def binary_format(head: bytes) -> Format | None:
    """Return the format of content that begins like this and is not text. Raises UnreadFormatError for what is not
    read."""
    for name, (place, magic) in _BINARY.items():
        if head[place:].startswith(magic):
            return name
    if head.startswith(_ARROW_STREAM):
        return "arrow"
    if _is_tar(head[:_TAR_HEADER]):
        return "tar"
    for magic, what in _UNREAD:
        if re.match(magic, head):
            raise UnreadFormatError(f"it is {what}")
    return None


def text_format(name: str, head: bytes, columns: Columns, decoder: TextDecoder) -> Format:
    """Return the format of text that begins like this. Raises FormatError if neither content nor name tell it, and
    UnreadFormatError if it is one that is not read."""
    promised = ending_format(name)
    if b"\0" in head and promised is None:
        raise FormatError("it is binary, of no format that is known")
    if _HTML.match(head):
        if promised in (None, "text", "html", "xml"):
            return "html"
        told = f"it is a page of HTML, and no {promised}, which its name promises"
        raise FormatError(f"{told}; is it what a server says in place of the file?")
    if marked_up := _marked_up(head, promised):
        return marked_up
    if _is_array(head, promised):
        return "json"
    if promised in (None, "text", "json") and (what := unread_text(head, promised == "text")):
        raise UnreadFormatError(f"it is {what}")
    if _OBJECT.match(head):
        first = head.strip(_MARK).partition(b"\n")[0]
        if _is_object(first) or (promised == "jsonl" and not (_goes_on(first) and _are_objects(head))):
            return "jsonl"
        if promised in (None, "json", "jsonl") or _are_objects(head):
            return "json"
    if promised in _PACKED:
        raise FormatError(f"it is no {promised}, which its name promises")
    if promised not in (None, "text", "csv", "tsv"):
        return promised
    delimiter = delimiter_of(head, columns.required, decoder)
    if delimiter and (promised != "text" or _has_a_row(head, delimiter)):
        return "tsv" if delimiter == "\t" else "csv"
    if promised is None:
        raise FormatError("neither its content nor its name tell the format; `format` of the source states it")
    return promised


def _marked_up(head: bytes, promised: Format | None) -> Format | None:
    """Return the format of XML, subtitles or mail."""
    if promised in (None, "text", "xml", "html") and (root := root_of(head, promised == "text")):
        kind = _ROOTS.get(root.rpartition(b":")[2])
        if kind or promised == "html":
            return kind
        if _DECLARED.match(head) or promised != "text":
            known = ", ".join(name.decode() for name in _ROOTS)
            raise UnreadFormatError(
                f"it is XML with <{root.decode()}> first; only that with {known} is read, so write its text as a "
                "file of text or JSON lines"
            )
    if promised in (None, "text") and are_subtitles(head):
        return "subtitles"
    return "mail" if promised in (None, "text") and is_mail(head) else None


def delimiter_of(head: bytes, required: Iterable[str], decoder: TextDecoder) -> str:
    """Return the delimiter of a table whose first line names all these columns and at least one other, else ''."""
    first, _, rest = head.partition(b"\n")
    try:
        line = copy(decoder)(first, lambda: rest)  # what was found out from a part of the file is forgotten
    except (EncodingError, UnicodeDecodeError):
        line = first.decode("utf-8", "replace")
    return named_in(line, required)


def named_in(line: str, required: Iterable[str], stated: str = "") -> str:
    """Return the delimiter, the stated one if there is one, with which a line names all these columns and at least one
    other; else ''. A table of one column, which is required, needs no delimiter, so it is not told."""
    for delimiter in stated or DELIMITERS:
        names = values_of(line, delimiter, skipinitialspace=True)
        if len(names) > 1 and set(required) <= set(names):
            return delimiter
    return ""


def values_of(line: str, delimiter: str, skipinitialspace: bool = False) -> list[str]:
    """Return the values of a line without blanks around them; none if it is no line of a table."""
    try:
        rows = list(csv.reader([line], delimiter=delimiter, skipinitialspace=skipinitialspace))
    except csv.Error:
        return []
    return [value.strip() for values in rows for value in values]


def _has_a_row(head: bytes, delimiter: str) -> bool:
    """Whether the row after the names of a table has a value for each. What begins with `text, of course,` may be
    prose."""
    rows = csv.reader(head.decode("latin-1").splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
    try:
        names, *rest = (row for row in rows if row)
    except csv.Error:
        return True
    is_cut = len(rest) == 1 and len(head) == HEAD_BYTES
    return not rest or is_cut or fits(rest[0], names)


def fits(values: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row of a table has a value for each name. A delimiter at the end of a line ends no value."""
    return bool(values) and not any(values[len(names) :]) and not any(name.strip() for name in names[len(values) :])


def _is_tar(header: bytes) -> bool:
    """Whether bytes are the first header of a tar: it has the sum of its own bytes, taken with blanks in that place."""
    try:
        told = int(header[_TAR_SUM].strip(b" \0"), 8)
    except ValueError:
        return False
    return len(header) == _TAR_HEADER and told == sum(header) - sum(header[_TAR_SUM]) + 8 * ord(" ") and told > 256


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.rstrip().removesuffix(b",")), dict)
    except (ValueError, RecursionError):
        return False


def _is_array(head: bytes, promised: Format | None) -> bool:
    """Whether content is an array. In JSON lines it goes on after its first line, or is all there is, as one line may
    be an array. Prose goes on after a quote in brackets."""
    if not _ARRAY.match(head):
        return False
    if promised == "jsonl":
        first, _, rest = head.strip().partition(b"\n")
        return not rest or _goes_on(first)
    return promised != "text" or bool(_WHOLE_ARRAY.match(head))


def _goes_on(line: bytes) -> bool:
    return line.rstrip().endswith((b"[", b"{", b","))


def _are_objects(head: bytes) -> bool:
    """Whether content that begins with a brace is one object after another, or one that is longer than the head. Prose
    goes on after the object that it quotes."""
    text = head.decode("latin-1").lstrip()
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return len(head) == HEAD_BYTES and bool(_FIELD.match(head))
    return bool(value) and text[end:].lstrip()[:1] in ("", "{")
