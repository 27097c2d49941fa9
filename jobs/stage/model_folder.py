"""Model folders in the artifact store: loaded from and written to any fsspec URL, and matched with their tokenizer."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from jobs.stage.context import Look, StageError
from rxt_model.baseline import StatelessDecoder
from rxt_model.checkpoint import CONFIG, TOKENIZER, from_pretrained
from rxt_model.model import ReactiveTransformer
from rxt_model.weights import INDEX, ModelFolderError
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.files.integrity import DamagedFile


def is_read(name: str, weights: bool = True) -> bool:
    """Whether a file of a model folder is part of the model; without its weights, its config alone is."""
    return name in ((CONFIG, TOKENIZER, INDEX) if weights else (CONFIG,)) or weights and name.endswith(".safetensors")


@contextmanager
def local_folder(uri: str, weights: bool = True) -> Generator[Path]:
    """The files of a model folder, or its config alone, as a local folder: itself, or a copy for as long as the
    context lasts."""
    fs, root = fsspec.core.url_to_fs(uri)
    if "file" in fs.protocol:
        yield Path(root)
        return
    with TemporaryDirectory(prefix="rxt-") as folder:
        for name in (path.rpartition("/")[2] for path in fs.ls(root, detail=False, refresh=True)):
            if is_read(name, weights):
                fs.get_file(f"{root}/{name}", f"{folder}/{name}")
        try:
            yield Path(folder)
        except (ModelFolderError, DamagedFile) as error:  # names the copy, which nobody will find
            raise type(error)(str(error).replace(folder, uri)) from error


def load_model(uri: str, device: str = "cpu") -> ReactiveTransformer | StatelessDecoder:
    """The model of the folder at `uri`, in evaluation mode."""
    with local_folder(uri) as folder:
        return from_pretrained(folder, device)


def load_reactive(uri: str) -> ReactiveTransformer:
    """The model of the folder at `uri`, which must have a memory, or StageError."""
    return reactive(load_model(uri), uri)


def reactive(model: ReactiveTransformer | StatelessDecoder, uri: str) -> ReactiveTransformer:
    """`model`, which lay at `uri`, if it has a memory. Raises StageError."""
    if isinstance(model, StatelessDecoder):
        raise StageError(f"{uri}: a stateless decoder, which has no memory; expected a Reactive Transformer", Look())
    return model


def upload(folder: Path, uri: str) -> None:
    """Copy every file below `folder` to below `uri`, over what was there."""
    fs, root = fsspec.core.url_to_fs(uri)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        target = f"{root}/{path.relative_to(folder).as_posix()}"
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(path), target)


def require_tokenizer(digest: str, of: str, tokenizer: Tokenizer) -> None:
    """Raises StageError unless `digest`, which `of` was made with, is the tokenizer's."""
    if digest != tokenizer.digest:
        raise StageError(
            f"the tokenizer does not fit {of}: tokenizer.json has sha256 {tokenizer.digest}, "
            f"the one of {of} has {digest}",
            Look(),
        )
