"""Open the tokenizers and shards that upstream stages wrote.

A missing or damaged file raises a StageError that names the file and the stage to run again.
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
    """The record of each of the artifact's files, from its manifest."""
    return {name: FileRecord(**record) for name, record in artifact.manifest["outputs"].items()}


@contextmanager
def usable(artifact: Artifact, *flaws: type[Exception]) -> Generator[None]:
    """Turn errors about missing or damaged files of `artifact`, and errors of type `flaws`, into a StageError."""
    try:
        yield
    except (DamagedFile, FileNotFoundError, *flaws) as error:
        raise StageError(str(error), Rerun(artifact.stage)) from error


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """Open the artifact's tokenizer.json. Raises StageError."""
    url = f"{artifact.uri}/{TOKENIZER}"
    with usable(artifact, TokenizerError):
        verify(url, recorded(artifact)[TOKENIZER])
        return Tokenizer.load(url)


def open_index(artifact: Artifact) -> ShardIndex:
    """Open the index of the artifact's shards. Raises StageError."""
    with usable(artifact, ShardError):
        verify(f"{artifact.uri}/{INDEX}", recorded(artifact)[INDEX])
        return read_index(artifact.uri)


def open_reader(artifact: Artifact, split: Split) -> ShardReader:
    """Open the rows of one split. The reader compares every shard with its digest. Raises StageError."""
    if all(record.split != split for record in open_index(artifact).files):
        raise StageError(f"{artifact.uri} holds no shard of the {split} split", Look())
    with usable(artifact, ShardError):
        return ShardReader(artifact.uri, split)
