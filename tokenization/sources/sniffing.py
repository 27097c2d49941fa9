"""Tell the format of a file from its content, with its name as a hint."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from copy import copy

from tokenization.sources.encoding import EncodingError, TextDecoder
from tokenization.sources.source import Columns, Format

HEAD_BYTES = 1 << 16  # of the content, to look at
DELIMITERS = ",\t;|"
_BINARY: dict[Format, tuple[int, bytes]] = {
    "parquet": (0, b"PAR1"),
    "arrow": (0, b"ARROW1\0\0"),
    "zip": (0, b"PK\x03\x04"),
    "tar": (257, b"ustar"),
    "warc": (0, b"WARC/"),
}
_ARROW_STREAM = b"\xff\xff\xff\xff"
_OTHER = {
    b"%PDF": "PDF",
    b"PK\x05\x06": "an empty zip",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"SQLite format 3": "SQLite",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"FEA1": "Feather of version 1",
    b"\xd0\xcf\x11\xe0": "a document of old Office",
    b"{\\rtf": "RTF",
}
_ENDINGS: dict[str, Format] = {
    "txt": "text", "text": "text", "md": "text", "rst": "text", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json",
    "csv": "csv", "tsv": "tsv", "tab": "tsv", "parquet": "parquet", "arrow": "arrow", "feather": "arrow",
    "html": "html", "htm": "html", "xhtml": "html", "warc": "warc", "wet": "warc", "zip": "zip", "tar": "tar",
    "tgz": "tar", "pq": "parquet",
}  # fmt: skip
_HTML = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype html|<html[\s>])", re.IGNORECASE | re.DOTALL)
_ARRAY = re.compile(rb"\s*\[\s*(\{|\"(?=.*\"\s*[,\]]))", re.DOTALL)
_OBJECT = re.compile(rb"\s*\{\s*(\"|\}|$)")


class FormatError(ValueError):
    """Content of no format that is read."""


def ending_format(name: str) -> Format | None:
    """Return the format that an ending promises. The ending of a compression must be gone."""
    stem, point, ending = name.lower().rpartition(".")
    return _ENDINGS.get(ending) if stem and point else None


def binary_format(head: bytes) -> Format | None:
    """Return the format of content that begins like this and is not text. Raises FormatError if it is not read."""
    for name, (place, magic) in _BINARY.items():
        if head[place:].startswith(magic):
            return name
    if head.startswith(_ARROW_STREAM):
        return "arrow"
    for magic, what in _OTHER.items():
        if head.startswith(magic):
            raise FormatError(f"it is {what}, which is not read")
    return None


def text_format(name: str, head: bytes, columns: Columns, decoder: TextDecoder) -> Format:
    """Return the format of text that begins like this. Raises FormatError if neither content nor name tell it."""
    promised = ending_format(name)
    if b"\0" in head and promised is None:
        raise FormatError("it is binary, of no format that is known")
    if _HTML.match(head):
        return "html"
    if _ARRAY.match(head) and promised != "jsonl":
        return "json"
    if _OBJECT.match(head):
        if _is_object(head.partition(b"\n")[0]) or promised == "jsonl":
            return "jsonl"
        if promised in (None, "json"):
            return "json"
    if promised in ("zip", "tar"):
        raise FormatError(f"it is no {promised}, which its name promises")
    if promised not in (None, "text", "csv", "tsv"):
        return promised
    if delimiter := delimiter_of(head, columns.required, decoder):
        return "tsv" if delimiter == "\t" else "csv"
    if promised is None:
        raise FormatError("neither its content nor its name tell the format; `format` of the source states it")
    return promised


def delimiter_of(head: bytes, required: Iterable[str], decoder: TextDecoder) -> str:
    """Return the delimiter of a table whose first line names all these columns and at least one other, else ''."""
    first, _, rest = head.partition(b"\n")
    try:
        line = copy(decoder)(first, lambda: rest)  # what was found out from a part of the file is forgotten
    except (EncodingError, UnicodeDecodeError):
        line = first.decode("utf-8", "replace")
    for delimiter in DELIMITERS:
        for names in csv.reader([line], delimiter=delimiter, skipinitialspace=True):
            if len(names) > 1 and set(required) <= {name.strip() for name in names}:
                return delimiter
    return ""


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
