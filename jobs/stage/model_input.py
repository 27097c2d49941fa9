"""Open the models that upstream stages left, every file compared with what was recorded when it was written."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from jobs.stage.context import Artifact
from jobs.stage.inputs import recorded, usable
from jobs.stage.model_folder import is_read, local_folder, reactive
from rxt_model.baseline import StatelessDecoder
from rxt_model.checkpoint import CONFIG, from_pretrained, load_config
from rxt_model.config import ModelConfig
from rxt_model.model import ReactiveTransformer
from rxt_model.weights import ModelFolderError
from tokenization.files.integrity import verify


def model_uri(artifact: Artifact) -> str:
    """Its model folder. The export is one itself."""
    return artifact.uri if CONFIG in artifact.manifest["outputs"] else f"{artifact.uri}/model"


def open_model(artifact: Artifact) -> ReactiveTransformer | StatelessDecoder:
    """The model of its folder, on the CPU in evaluation mode. Raises StageError."""
    with model_folder(artifact) as folder:
        return from_pretrained(folder)


def open_reactive(artifact: Artifact) -> ReactiveTransformer:
    """The same of a model that must have a memory. Raises StageError."""
    return reactive(open_model(artifact), artifact.uri)


def open_model_config(artifact: Artifact) -> ModelConfig:
    """The same model's shape, without its weights. Raises StageError."""
    with model_folder(artifact, weights=False) as folder:
        return load_config(folder)[1]


@contextmanager
def model_folder(artifact: Artifact, weights: bool = True) -> Generator[Path]:
    """Its model folder, or the config alone, as a local one whose files are those that were recorded. Raises
    StageError for a file that is not, and for what is found out inside."""
    with usable(artifact, ModelFolderError), local_folder(model_uri(artifact), weights) as folder:
        _verify(artifact, str(folder), weights)
        yield folder


def check_model(artifact: Artifact) -> None:
    """Compare every file of its model with what was recorded, where it lies. Raises StageError."""
    with usable(artifact):
        _verify(artifact, model_uri(artifact), weights=True)


def _verify(artifact: Artifact, folder: str, weights: bool) -> None:
    """`folder` is the artifact's model folder or a copy."""
    inside = f"{model_uri(artifact).removeprefix(artifact.uri)}/".lstrip("/")
    for name, record in recorded(artifact).items():
        file = name.removeprefix(inside)
        if name == f"{inside}{file}" and is_read(file, weights):
            verify(f"{folder}/{file}", record)
