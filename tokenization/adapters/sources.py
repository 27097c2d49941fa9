"""Dialogue data sets: files of Parquet or JSON lines on any fsspec URL, or those that a hub data set names.

A source falls into parts (row groups of Parquet files, whole JSON files) that can be read anywhere in any order. What
cannot be read or is no conversation comes out as `Rejected`, in the place where it stood.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import IO, Literal

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from tokenization.adapters.rows import ADAPTERS, Adapter, Row, RowError, language_of
from tokenization.dialogues.values import stable_hash
from tokenization.documents import split_of
from tokenization.records import Conversation, Language, Split

BATCH_ROWS = 256
LONGEST_LINE = 16 << 20  # bytes
_DAMAGED = (pa.ArrowException, OSError, EOFError, zlib.error)


class DialogueSourceError(RuntimeError):
    """A source that holds nothing to read: its name, the place, and what is there instead."""


@dataclass(frozen=True)
class DialogueSource:
    """Where conversations come from; fields as in `jobs.data_configs.DialogueSourceConfig`."""

    name: str
    kind: Literal["files", "hub"]
    path: str
    adapter: str
    language: Language
    licence: str
    subset: str = ""
    revision: str = ""
    part: str = "train"
    split: Literal["hash", "train", "validation", "test"] = "hash"
    validation_fraction: float = 0.02
    test_fraction: float = 0.02
    weight: float = 1.0

    @property
    def first_split(self) -> Split:
        """The first split that it has conversations of."""
        return "train" if self.split == "hash" else self.split


@dataclass(frozen=True)
class Part:
    """Row group `group` of a Parquet file, which begins with row `first`; a file as a whole where `group` is None.
    `bytes` is about how much there is to read."""

    source: DialogueSource
    url: str
    bytes: int
    group: int | None = None
    first: int = 0


@dataclass(frozen=True)
class Rejected:
    """What was left out of a source, where it stood, and why."""

    source: str
    place: str
    reason: str


def parts_of(source: DialogueSource) -> list[Part]:
    """The parts in a stable order; only footers are read. Raises DialogueSourceError where no file can be read."""
    urls = sorted(_files(source))
    if not urls:
        raise DialogueSourceError(f"source {source.name}: no file matches {source.path}")
    parts: list[Part] = []
    problems: list[str] = []
    for url in urls:
        fs, path = fsspec.url_to_fs(url)
        try:
            size = fs.size(path) or 0
            whole = Part(source, url, size)
            if not _is_parquet(url):
                parts.append(whole)
                continue
            with fs.open(path, "rb") as stream:
                file = pq.ParquetFile(stream)
                _leaves(file, ADAPTERS[source.adapter])
                first = 0
                for group in range(file.num_row_groups):
                    footer = file.metadata.row_group(group)
                    parts.append(Part(source, url, footer.total_byte_size, group, first))
                    first += footer.num_rows
        except (*_DAMAGED, RowError) as error:
            problems.append(f"{url}: {error}")
            parts.append(Part(source, url, 0))  # whoever reads it says so in the quarantine
    if len(problems) == len(urls):
        raise DialogueSourceError(f"source {source.name}: {problems[0]}")
    return parts


def read_conversations(part: Part) -> Iterator[Conversation | Rejected]:
    """Every row of a part, as a conversation or as rejected."""
    source = part.source
    adapter = ADAPTERS[source.adapter]
    for place, row in _rows(part, adapter):
        try:
            if isinstance(row, RowError):
                raise row
            language = language_of(row, source.language)
            turns = tuple(adapter.convert(row))
        except RowError as error:
            yield Rejected(source.name, f"{place}, {error.where}" if error.where else place, error.reason)
            continue
        text = json.dumps([language, *map(astuple, turns)], ensure_ascii=False)
        split: Split = (
            source.split if source.split != "hash" else split_of(text, source.validation_fraction, source.test_fraction)
        )
        yield Conversation(f"{source.name}-{stable_hash(text):016x}", language, source.name, split, turns)


def copies(source: DialogueSource, conversation: Conversation) -> int:
    """How often the conversation is trained on: once per whole unit of `weight`, and once more for the share of all
    conversations that is left over. Held-out ones count once."""
    if conversation.split != "train":
        return 1
    place = stable_hash(f"weight {conversation.id}") / 2**64
    return int(source.weight) + (place < source.weight % 1)


def _files(source: DialogueSource) -> list[str]:
    if source.kind == "hub":
        return _hub_files(source)
    try:
        fs, path = fsspec.url_to_fs(source.path)
        found = fs.glob(path) if fsspec.core.has_magic(path) else [path] if fs.exists(path) else []
    except (OSError, ValueError, ImportError) as error:
        raise DialogueSourceError(f"source {source.name}: cannot open {source.path}: {error}") from error
    return [fs.unstrip_protocol(path) for path in found]


def _hub_files(source: DialogueSource) -> list[str]:
    """URLs of the data files. They are read as files and not through `datasets`, which casts all files to the columns
    of the first, and so fails where one has a column of nulls and another text in it."""
    import datasets  # seconds of imports that no other source needs

    where = " ".join(filter(None, (source.path, source.subset, source.revision)))
    try:
        builder = datasets.load_dataset_builder(source.path, source.subset or None, revision=source.revision or None)
        files = builder.config.data_files or {}
    except (OSError, ValueError) as error:
        raise DialogueSourceError(f"source {source.name}: cannot read data set {where}: {error}") from error
    if source.part not in files:
        there = ", ".join(repr(str(part)) for part in files)
        raise DialogueSourceError(f"source {source.name}: data set {where} has no part {source.part!r}, only {there}")
    return list(files[source.part])


def _is_parquet(url: str) -> bool:
    return url.lower().endswith(".parquet")


def _rows(part: Part, adapter: Adapter) -> Iterator[tuple[str, Row | RowError]]:
    """Rows with their places; damage ends the part, since nothing tells where the next row would begin."""
    place = part.url
    try:
        with fsspec.open(part.url, "rb", compression=None if _is_parquet(part.url) else "infer") as stream:
            for number, row in _parquet(stream, part, adapter) if _is_parquet(part.url) else _json_lines(stream):
                place = f"{part.url} row {number}"
                yield place, row
    except _DAMAGED as error:
        yield f"after {place}", RowError(f"damaged: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
    except RowError as error:
        yield place, error


def _parquet(stream: IO[bytes], part: Part, adapter: Adapter) -> Iterator[tuple[int, Row]]:
    file = pq.ParquetFile(stream)
    columns = _leaves(file, adapter)
    groups = range(file.num_row_groups) if part.group is None else [part.group]
    number = part.first
    for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns):
        for row in batch.to_pylist():
            yield number, row
            number += 1


def _leaves(file: pq.ParquetFile, adapter: Adapter) -> list[str]:
    """The paths of the columns, and of the fields in them, that the adapter reads."""
    paths = [file.schema.column(n).path for n in range(len(file.schema))]
    columns = {path.partition(".")[0] for path in paths}
    if missing := adapter.required - columns:
        raise RowError(f"no column {', '.join(map(repr, sorted(missing)))}; there are {', '.join(sorted(columns))}")
    return [p for p in paths if p.partition(".")[0] in adapter.fields and p.rpartition(".")[2] in adapter.fields]


def _json_lines(stream: IO[bytes]) -> Iterator[tuple[int, Row | RowError]]:
    number = -1
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, RowError(f"a line longer than {LONGEST_LINE >> 20} MiB")
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, RowError("not JSON")
            continue
        yield number, row if isinstance(row, dict) else RowError("not a JSON object")
