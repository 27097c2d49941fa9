"""Arrow shards: schemas, a writer that leaves whole files or none, and the index that makes files count.

The format is the IPC *stream*: `datasets.Dataset.from_file` and a memory map both read it (the IPC file format is
refused by the former). Locally a shard is a temporary file, synced and renamed. Object stores have no rename: there the
object is written once under its final name and counts only through index.json.
"""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from tokenization.records import Split

Kind = Literal["text", "interactions", "conversations"]

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk says
SCHEMA_VERSION = 1
BATCH_ROWS = 1024
INDEX = "index.json"
_TEMPORARY = ".tmp"

_TOKENS = pa.list_(pa.int32())
_INTERACTION = {
    "input_ids": _TOKENS,
    "loss_mask": pa.list_(pa.bool_()),
    "answer_start": pa.int32(),
    "language": pa.int8(),
}
_PROBE = {
    "turn": pa.int32(),
    "slot": pa.string(),
    "gold": pa.list_(pa.string()),
    "forbidden": pa.list_(pa.string()),
    "kind": pa.string(),
    "distance": pa.int32(),
    "facts": pa.int32(),
    "tag": pa.string(),
}
# `language` is the position in tokenization.records.LANGUAGES.
SCHEMAS: dict[Kind, pa.Schema] = {
    "text": pa.schema({"input_ids": _TOKENS, "document_starts": _TOKENS, "language": pa.int8()}),
    "interactions": pa.schema(_INTERACTION),
    "conversations": pa.schema(
        {
            "conversation_id": pa.string(),
            "interactions": pa.list_(pa.struct(_INTERACTION)),
            "probes": pa.list_(pa.struct(_PROBE)),
        }
    ),
}


def shard_name(split: Split, number: int) -> str:
    """The file of a shard."""
    return f"{split}-{number:05d}.arrow"


class ShardError(ValueError):
    """Shards that cannot be read: missing, truncated, damaged, or of another schema. The message names the file."""


@dataclass(frozen=True)
class ShardRecord:
    """What is known about one finished file; `tokens` counts every id in it."""

    file: str
    split: Split
    rows: int
    tokens: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """index.json. `length`: most tokens of a text row or of one interaction."""

    kind: Kind
    length: int
    tokenizer_digest: str
    vocab_size: int
    files: tuple[ShardRecord, ...]
    schema_version: int = SCHEMA_VERSION

    def rows(self, split: Split) -> int:
        return sum(record.rows for record in self.files if record.split == split)

    def tokens(self, split: Split) -> int:
        return sum(record.tokens for record in self.files if record.split == split)


class ShardWriter:
    """One file, written batch by batch inside a `with` block. It appears under its name at the end of the block, as a
    whole, or not at all if the block raises; `record` describes it then. The same batches give the same bytes."""

    record: ShardRecord

    def __init__(self, url: str, kind: Kind, split: Split = "train") -> None:
        self._url, self._split, self._schema = url, split, SCHEMAS[kind]
        self._rows = self._tokens = 0

    def __enter__(self) -> ShardWriter:
        with ExitStack() as stack:
            self._file = stack.enter_context(_appearing(self._url))
            self._stream = stack.enter_context(pa.ipc.new_stream(self._file, self._schema))
            self._stack = stack.pop_all()
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Rows in the schema of the kind."""
        for start in range(0, batch.num_rows, BATCH_ROWS):
            self._stream.write_batch(batch.slice(start, BATCH_ROWS))
        self._rows += batch.num_rows
        self._tokens += _token_count(batch)

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        described = self._file.size, self._file.sha256.hexdigest()
        self.record = ShardRecord(os.path.basename(self._url), self._split, self._rows, self._tokens, *described)


def write_shard(url: str, kind: Kind, rows: Iterable[Mapping[str, Any]], split: Split = "train") -> ShardRecord:
    """Write all rows to one file and describe it. The same rows give the same bytes."""
    rows = iter(rows)
    with ShardWriter(url, kind, split) as writer:
        while chunk := list(itertools.islice(rows, BATCH_ROWS)):
            writer.write(pa.RecordBatch.from_pylist(chunk, schema=SCHEMAS[kind]))
    return writer.record


def write_json(url: str, value: Mapping[str, Any]) -> None:
    """A small canonical JSON file, whole or not at all."""
    content = (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    publish(url, lambda file: file.write(content))


def remove_leftovers(uri: str) -> None:
    """Temporary files below `uri` whose writers were killed."""
    fs, folder = fsspec.url_to_fs(uri)
    if isinstance(fs, LocalFileSystem):
        for path in Path(folder).rglob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)


def write_index(uri: str, index: ShardIndex) -> None:
    """From here on the shards below `uri` count."""
    write_json(f"{uri}/{INDEX}", asdict(index))


def read_index(uri: str) -> ShardIndex:
    """The index of the shards below `uri`. Raises ShardError where there is none, or one of another version."""
    url = f"{uri}/{INDEX}"
    try:
        with fsspec.open(url, "rb") as file:
            content = json.load(file)
    except FileNotFoundError as error:
        raise ShardError(f"{url} is missing: these shards were never finished") from error
    except ValueError as error:  # not JSON, or not even text
        raise ShardError(f"{url} is damaged: {error}") from error
    try:
        version = content["schema_version"]
        if version == SCHEMA_VERSION:
            return ShardIndex(**content | {"files": tuple(ShardRecord(**record) for record in content["files"])})
    except (KeyError, TypeError) as error:
        raise ShardError(f"{url} is damaged: {error!r} where an index of shards should be") from error
    raise ShardError(f"{url} has schema version {version}, this code reads {SCHEMA_VERSION}")


def sha256_of(url: str) -> str:
    """Digest of a file anywhere; FileNotFoundError where there is none."""
    with fsspec.open(url, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(url: str, fill: Callable[[BinaryIO], Any]) -> tuple[int, str]:
    """The file that `fill` writes appears under its name as a whole. Returns its size and sha256."""
    with _appearing(url) as file:
        fill(file)
    return file.size, file.sha256.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that is only written, with the size and digest of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self.sha256 = 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        written = self._file.write(data)
        self.size += written
        return written


@contextmanager
def _appearing(url: str) -> Iterator[_Hashed]:
    """A file that appears under its name as a whole when the block ends, and not at all when it raises."""
    fs, path = fsspec.url_to_fs(url)
    is_local = isinstance(fs, LocalFileSystem)
    folder = Path(os.path.dirname(path) if is_local else tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    # Not by mkstemp, whose files are for their owner alone: who may read a result is what the umask says.
    temporary = folder / f".{os.path.basename(path)}.{uuid.uuid4().hex}{_TEMPORARY}"
    try:
        with open(temporary, "xb") as file:
            yield _Hashed(file)
            file.flush()
            os.fsync(file.fileno())
        if is_local:
            os.replace(temporary, path)
        else:
            fs.put_file(str(temporary), path)
    finally:
        temporary.unlink(missing_ok=True)


def _token_count(batch: pa.RecordBatch) -> int:
    if "interactions" in batch.schema.names:
        ids = batch.column("interactions").flatten().field("input_ids")
    else:
        ids = batch.column("input_ids")
    return len(ids.flatten())
