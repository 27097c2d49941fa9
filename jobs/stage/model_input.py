"""Open the models that upstream stages wrote, and compare every file with the digest recorded in the manifest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from jobs.stage.context import Artifact
from jobs.stage.inputs import recorded, usable
from jobs.stage.model_folder import is_read, local_folder, reactive
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ModelConfig
from rxt_model.files.checkpoint import CONFIG, from_pretrained, load_config
from rxt_model.files.weights import ModelFolderError
from rxt_model.model import ReactiveTransformer
from tokenization.files.integrity import verify


def model_uri(artifact: Artifact) -> str:
    """The URI of the artifact's model folder. An export is a model folder itself."""
    return artifact.uri if CONFIG in artifact.manifest["outputs"] else f"{artifact.uri}/model"


def open_model(artifact: Artifact, device: str = "cpu") -> ReactiveTransformer | StatelessDecoder:
    """Load the artifact's model in evaluation mode. Raises StageError."""
    with model_folder(artifact) as folder:
        return from_pretrained(folder, device)


def open_reactive(artifact: Artifact, device: str = "cpu") -> ReactiveTransformer:
    """Load the artifact's model as `open_model` does. Raises StageError, also if the model has no memory."""
    return reactive(open_model(artifact, device), artifact.uri)


def open_model_config(artifact: Artifact) -> ModelConfig:
    """Load the shape of the artifact's model, without its weights. Raises StageError."""
    with model_folder(artifact, weights=False) as folder:
        return load_config(folder)[1]


@contextmanager
def model_folder(artifact: Artifact, weights: bool = True) -> Generator[Path]:
    """A local folder with the artifact's model, or with its config alone. Raises StageError for a file that differs
    from its record, and for a flaw of the model folder that shows inside the context."""
    with usable(artifact, ModelFolderError), local_folder(model_uri(artifact), weights) as folder:
        _verify(artifact, str(folder), weights)
        yield folder


def check_model(artifact: Artifact) -> None:
    """Compare every file of the artifact's model with its record, without copying it. Raises StageError."""
    with usable(artifact):
        _verify(artifact, model_uri(artifact), weights=True)


def _verify(artifact: Artifact, folder: str, weights: bool) -> None:
    """Compare the files in `folder`, the artifact's model folder or a copy of it, with their records."""
    inside = f"{model_uri(artifact).removeprefix(artifact.uri)}/".lstrip("/")
    for name, record in recorded(artifact).items():
        file = name.removeprefix(inside)
        if name == f"{inside}{file}" and is_read(file, weights):
            verify(f"{folder}/{file}", record)
