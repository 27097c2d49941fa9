"""One interface to every place documents come from: packages, files on any fsspec URL, datasets of the hub.

A source yields plain texts in a stable order; cleaning, splitting and writing are the same for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import fsspec
import pyarrow
import pyarrow.parquet

from tokenization.extract import EXTRACTORS
from tokenization.records import Language

_JSON_LINES = (".jsonl", ".json", ".ndjson")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


class SourceError(RuntimeError):
    """A source that cannot be read, with its name, the place and what is there instead."""


@dataclass(frozen=True)
class Source:
    """Where texts come from; fields as in `jobs.data_configs.SourceConfig`. `package` is a package file's content."""

    name: str
    kind: Literal["package", "files", "hub"]
    language: Language
    path: str = ""
    subset: str = ""
    revision: str = ""
    text_column: str = "text"
    package: bytes = b""

    @property
    def whole(self) -> bool:
        """Whether the lines of a document must stay together (turns of a dialogue, a dictionary entry)."""
        return self.kind == "package" and EXTRACTORS[self.name].whole


def read(source: Source) -> Iterator[str]:
    """Every text of the source, in its own order; rows without text are left out. Raises SourceError."""
    readers = {"package": _package, "files": _files, "hub": _hub}
    return readers[source.kind](source)


def _package(source: Source) -> Iterator[str]:
    return EXTRACTORS[source.name].parse(source.package)


def _files(source: Source) -> Iterator[str]:
    """Files in the order of their names: Parquet and JSON lines by `text_column`, anything else as plain text.

    Compression is told by the ending (`.gz`, `.zst`, ...).
    """
    try:
        files = fsspec.open_files(source.path, mode="rb", compression="infer")
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"source {source.name}: cannot open {source.path}: {error}") from error
    if not files:
        raise SourceError(f"source {source.name}: no file matches {source.path}")
    for file in sorted(files, key=lambda file: file.path):
        try:
            with file as stream:
                yield from _texts(source, file.path, stream)
        except FileNotFoundError as error:
            raise SourceError(f"source {source.name}: there is no file {file.path}") from error
        except (pyarrow.ArrowInvalid, UnicodeDecodeError, EOFError) as error:
            raise SourceError(f"source {source.name}: {file.path} is damaged or of another format: {error}") from error


def _texts(source: Source, path: str, stream: IO[bytes]) -> Iterator[str]:
    ending = path.lower()
    for compressed in _COMPRESSED:
        ending = ending.removesuffix(compressed)
    if ending.endswith(".parquet"):
        return _parquet(source, path, stream)
    if ending.endswith(_JSON_LINES):
        return _json_lines(source, path, stream)
    return _paragraph_blocks(stream)


def _parquet(source: Source, path: str, stream: IO[bytes]) -> Iterator[str]:
    file = pyarrow.parquet.ParquetFile(stream)
    columns = {field.name: field.type for field in file.schema_arrow}
    if source.text_column not in columns:
        raise _no_column(source, path, list(columns))
    kind = columns[source.text_column]
    value = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not any(is_kind(value) for is_kind in (pyarrow.types.is_string, pyarrow.types.is_large_string,
                                              pyarrow.types.is_string_view, pyarrow.types.is_null)):  # fmt: skip
        raise SourceError(f"source {source.name}: column {source.text_column!r} of {path} holds {kind}, not text")
    for batch in file.iter_batches(batch_size=1024, columns=[source.text_column]):
        yield from filter(None, batch.column(0).to_pylist())


def _json_lines(source: Source, path: str, stream: IO[bytes]) -> Iterator[str]:
    keys: dict[str, None] = {}
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceError(f"source {source.name}: line {number} of {path} is not JSON: {error.msg}") from error
        if not isinstance(row, dict):
            raise SourceError(f"source {source.name}: line {number} of {path} is not a JSON object")
        keys.update(dict.fromkeys(row))
        yield from _text(source, f"line {number} of {path}", row.get(source.text_column))
    if keys and source.text_column not in keys:
        raise _no_column(source, path, list(keys))


def _paragraph_blocks(stream: IO[bytes]) -> Iterator[str]:
    """A text file's blocks between empty lines, each a document, so that long files split and stream."""
    block: list[str] = []
    for line in stream:
        text = line.decode("utf-8")
        if text.strip():
            block.append(text)
        elif block:
            yield "".join(block)
            block = []
    if block:
        yield "".join(block)


def _hub(source: Source) -> Iterator[str]:
    """The `train` split of a dataset, streamed; only the text column is decoded."""
    import datasets  # seconds of imports that no other source needs

    where = " ".join(filter(None, (source.path, source.subset, source.revision)))
    try:
        rows = datasets.load_dataset(source.path, source.subset or None, split="train", streaming=True,
                                     revision=source.revision or None)  # fmt: skip
        columns = rows.column_names or list(next(iter(rows), {}))
    except (OSError, ValueError) as error:
        raise SourceError(f"source {source.name}: cannot read dataset {where}: {error}") from error
    if source.text_column not in columns:
        raise _no_column(source, f"dataset {where}", columns)
    for number, row in enumerate(rows.select_columns([source.text_column])):
        yield from _text(source, f"row {number} of dataset {where}", row[source.text_column])


def _text(source: Source, place: str, value: Any) -> Iterator[str]:
    if value is not None and not isinstance(value, str):
        kind = type(value).__name__
        raise SourceError(f"source {source.name}: {source.text_column!r} in {place} holds {kind}, not text")
    if value:
        yield value


def _no_column(source: Source, place: str, columns: list[str]) -> SourceError:
    return SourceError(
        f"source {source.name}: no column {source.text_column!r} in {place}; it has {', '.join(map(repr, columns))}"
    )
