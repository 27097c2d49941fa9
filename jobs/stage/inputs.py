"""Open what upstream stages left. What is missing or damaged there is an error that names the file and the stage to
make again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.stage.context import Artifact, Look, Rerun, StageError
from jobs.stage.model_folder import is_read, local_folder
from rxt_model.baseline import StatelessDecoder
from rxt_model.checkpoint import CONFIG, TOKENIZER, from_pretrained, load_config
from rxt_model.config import ModelConfig
from rxt_model.model import ReactiveTransformer
from rxt_model.weights import ModelFolderError
from tokenization.bpe.tokenizer import Tokenizer, TokenizerError
from tokenization.cleaning.benchmark import FILE as BENCHMARK
from tokenization.cleaning.benchmark import Benchmark, read_benchmark
from tokenization.documents import Corpus, CorpusError
from tokenization.files.integrity import DamagedFile, FileRecord, verify
from tokenization.records import Split
from tokenization.shards.index import INDEX, ShardError, ShardIndex, read_index
from tokenization.shards.reader import ShardReader


def model_uri(artifact: Artifact) -> str:
    """Its model folder. The export is one itself."""
    return artifact.uri if CONFIG in artifact.manifest["outputs"] else f"{artifact.uri}/model"


def recorded(artifact: Artifact) -> dict[str, FileRecord]:
    """What its manifest says about each of its files."""
    return {name: FileRecord(**record) for name, record in artifact.manifest["outputs"].items()}


def open_corpus(artifact: Artifact) -> Corpus:
    """Its documents, every file compared with its digest. Raises StageError."""
    with usable(artifact):
        return Corpus(artifact.uri, recorded(artifact))


def open_benchmark(artifact: Artifact) -> Benchmark:
    """What stage `corpus` kept out of the documents, if anything. Raises StageError."""
    with usable(artifact):
        if BENCHMARK in artifact.manifest["outputs"]:
            verify(f"{artifact.uri}/{BENCHMARK}", recorded(artifact)[BENCHMARK])
        return read_benchmark(artifact.uri)


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """Its tokenizer.json. Raises StageError."""
    url = f"{artifact.uri}/{TOKENIZER}"
    with usable(artifact):
        verify(url, recorded(artifact)[TOKENIZER])
        return Tokenizer.load(url)


def open_model(artifact: Artifact) -> ReactiveTransformer | StatelessDecoder:
    """The model of its folder, on the CPU in evaluation mode. Raises StageError."""
    with model_folder(artifact) as folder:
        return from_pretrained(folder)


def open_model_config(artifact: Artifact) -> ModelConfig:
    """The same model's shape, without its weights. Raises StageError."""
    with model_folder(artifact, weights=False) as folder:
        return load_config(folder)[1]


@contextmanager
def model_folder(artifact: Artifact, weights: bool = True) -> Iterator[Path]:
    """Its model folder, or the config alone, as a local one whose files are those that were recorded. Raises
    StageError for a file that is not, and for what is found out inside."""
    with usable(artifact), local_folder(model_uri(artifact), weights) as folder:
        _verify(artifact, str(folder), weights)
        yield folder


def check_model(artifact: Artifact) -> None:
    """Compare every file of its model with what was recorded, where it lies. Raises StageError."""
    with usable(artifact):
        _verify(artifact, model_uri(artifact), weights=True)


def open_index(artifact: Artifact) -> ShardIndex:
    """What its shards are. Raises StageError."""
    with usable(artifact):
        verify(f"{artifact.uri}/{INDEX}", recorded(artifact)[INDEX])
        return read_index(artifact.uri)


def open_reader(artifact: Artifact, split: Split) -> ShardReader:
    """The rows of one split, every shard compared with its digest. Raises StageError."""
    if all(record.split != split for record in open_index(artifact).files):
        raise StageError(f"{artifact.uri} holds no shard of the {split} split", Look())
    with usable(artifact):
        return ShardReader(artifact.uri, split)


def _verify(artifact: Artifact, folder: str, weights: bool) -> None:
    """`folder` is the artifact's model folder or a copy."""
    inside = f"{model_uri(artifact).removeprefix(artifact.uri)}/".lstrip("/")
    for name, record in recorded(artifact).items():
        file = name.removeprefix(inside)
        if name == f"{inside}{file}" and is_read(file, weights):
            verify(f"{folder}/{file}", record)


@contextmanager
def usable(artifact: Artifact) -> Iterator[None]:
    """Whatever says inside that a file of `artifact` is missing or damaged becomes a StageError."""
    try:
        yield
    except (DamagedFile, CorpusError, TokenizerError, ModelFolderError, ShardError, FileNotFoundError) as error:
        raise StageError(str(error), Rerun(artifact.stage)) from error
