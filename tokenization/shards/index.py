"""Read and write index.json, which lists the finished shards of a folder. No other shard counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import fsspec

from tokenization.files.storage import write_json
from tokenization.records import Split
from tokenization.shards.schema import Kind

INDEX = "index.json"
SCHEMA_VERSION = 1


def shard_name(split: Split, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:05d}.arrow"


class ShardError(ValueError):
    """Shards cannot be read: missing, truncated, damaged, or of another schema. The message names the file."""


@dataclass(frozen=True)
class ShardRecord:
    """One finished shard file. `tokens` counts every id in it."""

    file: str
    split: Split
    rows: int
    tokens: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """The content of index.json. `length` is the most tokens of a text row or of one interaction."""

    kind: Kind
    length: int
    tokenizer_digest: str
    vocab_size: int
    files: tuple[ShardRecord, ...]
    schema_version: int = SCHEMA_VERSION

    def rows(self, split: Split) -> int:
        """Return the rows of a split, over all shards."""
        return sum(record.rows for record in self.files if record.split == split)

    def tokens(self, split: Split) -> int:
        """Return the tokens of a split, over all shards."""
        return sum(record.tokens for record in self.files if record.split == split)


def write_index(uri: str, index: ShardIndex) -> None:
    """Write the index. From then on the shards below `uri` count."""
    write_json(f"{uri}/{INDEX}", asdict(index))


def read_index(uri: str) -> ShardIndex:
    """Read the index of the shards below `uri`. Raises ShardError if it is missing, damaged or of another version."""
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
