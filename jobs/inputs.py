"""Open what upstream stages left. What is missing or damaged there is an error that names the file and the stage to
make again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.context import Artifact, Look, Rerun, StageError
from jobs.model_folder import load_model, local_folder
from rxt_model.baseline import StatelessDecoder
from rxt_model.checkpoint import load_config
from rxt_model.config import ModelConfig
from rxt_model.model import ReactiveTransformer
from rxt_model.weights import ModelFolderError
from tokenization.reader import ShardReader
from tokenization.records import Split
from tokenization.shards import ShardError, ShardIndex, read_index
from tokenization.tokenizer import Tokenizer, TokenizerError


def model_uri(artifact: Artifact) -> str:
    """Its model folder."""
    return f"{artifact.uri}/model"


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """Its tokenizer.json. Raises StageError."""
    with usable(artifact):
        return Tokenizer.load(f"{artifact.uri}/tokenizer.json")


def open_model(artifact: Artifact) -> ReactiveTransformer | StatelessDecoder:
    """The model of its folder, on the CPU in evaluation mode. Raises StageError."""
    with usable(artifact):
        return load_model(model_uri(artifact))


def open_model_config(artifact: Artifact) -> ModelConfig:
    """The same model's shape, without its weights. Raises StageError."""
    with usable(artifact), local_folder(model_uri(artifact), weights=False) as folder:
        return load_config(folder)[1]


def open_index(artifact: Artifact) -> ShardIndex:
    """What its shards are. Raises StageError."""
    with usable(artifact):
        return read_index(artifact.uri)


def open_reader(artifact: Artifact, split: Split) -> ShardReader:
    """The rows of one split, every shard compared with its digest. Raises StageError."""
    if all(record.split != split for record in open_index(artifact).files):
        raise StageError(f"{artifact.uri} holds no shard of the {split} split", Look())
    with usable(artifact):
        return ShardReader(artifact.uri, split)


@contextmanager
def usable(artifact: Artifact) -> Iterator[None]:
    """Whatever says inside that a file of `artifact` is missing or damaged becomes a StageError."""
    try:
        yield
    except (TokenizerError, ModelFolderError, ShardError, FileNotFoundError) as error:
        raise StageError(str(error), Rerun(artifact.stage)) from error
