"""Open the tokenizers and shards that upstream stages left.

What is missing or damaged there is an error that names the file and the stage to make again.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from jobs.stage.context import Artifact, Look, Rerun, StageError
from tokenization.bpe.tokenizer import Tokenizer, TokenizerError
from tokenization.files.integrity import DamagedFile, FileRecord, verify
from tokenization.records import Split
from tokenization.shards.index import INDEX, ShardError, ShardIndex, read_index
from tokenization.shards.reader import ShardReader

TOKENIZER = "tokenizer.json"


def recorded(artifact: Artifact) -> dict[str, FileRecord]:
    """What its manifest says about each of its files."""
    return {name: FileRecord(**record) for name, record in artifact.manifest["outputs"].items()}


@contextmanager
def usable(artifact: Artifact, *flaws: type[Exception]) -> Generator[None]:
    """Whatever says inside that a file of `artifact` is missing or damaged, and what else is of `flaws`, becomes a
    StageError."""
    try:
        yield
    except (DamagedFile, FileNotFoundError, *flaws) as error:
        raise StageError(str(error), Rerun(artifact.stage)) from error


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """Its tokenizer.json. Raises StageError."""
    url = f"{artifact.uri}/{TOKENIZER}"
    with usable(artifact, TokenizerError):
        verify(url, recorded(artifact)[TOKENIZER])
        return Tokenizer.load(url)


def open_index(artifact: Artifact) -> ShardIndex:
    """What its shards are. Raises StageError."""
    with usable(artifact, ShardError):
        verify(f"{artifact.uri}/{INDEX}", recorded(artifact)[INDEX])
        return read_index(artifact.uri)


def open_reader(artifact: Artifact, split: Split) -> ShardReader:
    """The rows of one split, every shard compared with its digest. Raises StageError."""
    if all(record.split != split for record in open_index(artifact).files):
        raise StageError(f"{artifact.uri} holds no shard of the {split} split", Look())
    with usable(artifact, ShardError):
        return ShardReader(artifact.uri, split)
