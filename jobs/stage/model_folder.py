"""Load model folders from any fsspec URL, write them to one, and match them with their tokenizer."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from jobs.stage.context import Look, StageError
from rxt_model.baseline import StatelessDecoder
from rxt_model.files.checkpoint import CONFIG, TOKENIZER, from_pretrained
from rxt_model.files.weights import INDEX, ModelFolderError
from rxt_model.model import ReactiveTransformer
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.files.integrity import DamagedFile


def is_read(name: str, weights: bool = True) -> bool:
    """Whether loading the model reads this file of its folder; without the weights, only the config is read."""
    return name in ((CONFIG, TOKENIZER, INDEX) if weights else (CONFIG,)) or (weights and name.endswith(".safetensors"))


@contextmanager
def local_folder(uri: str, weights: bool = True) -> Generator[Path]:
    """A local folder with the files of a model folder, or with the config alone. A folder elsewhere is copied, and the
    copy is deleted when the context ends."""
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
        except (ModelFolderError, DamagedFile) as error:  # it names the copy, which is gone by now
            raise type(error)(str(error).replace(folder, uri)) from error


def load_model(uri: str, device: str = "cpu") -> ReactiveTransformer | StatelessDecoder:
    """Load the model in the folder at `uri`, in evaluation mode."""
    with local_folder(uri) as folder:
        return from_pretrained(folder, device)


def load_reactive(uri: str, device: str = "cpu") -> ReactiveTransformer:
    """Load the model in the folder at `uri`. Raises StageError if it has no memory."""
    return reactive(load_model(uri, device), uri)


def reactive(model: ReactiveTransformer | StatelessDecoder, uri: str) -> ReactiveTransformer:
    """Return `model`, which was loaded from `uri`. Raises StageError if it has no memory."""
    if isinstance(model, StatelessDecoder):
        raise StageError(f"{uri}: a stateless decoder, which has no memory; expected a Reactive Transformer", Look())
    return model


def upload(folder: Path, uri: str) -> None:
    """Copy every file below `folder` to the same place below `uri`, and overwrite what is there."""
    fs, root = fsspec.core.url_to_fs(uri)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        target = f"{root}/{path.relative_to(folder).as_posix()}"
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(path), target)


def require_tokenizer(digest: str, of: str, tokenizer: Tokenizer) -> None:
    """Raise StageError unless `tokenizer` has `digest`, the digest of the tokenizer that `of` was made with."""
    if digest != tokenizer.digest:
        raise StageError(
            f"the tokenizer does not fit {of}: tokenizer.json has sha256 {tokenizer.digest}, "
            f"{of} was made with {digest}",
            Look(),
        )
