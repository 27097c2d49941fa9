"""Write and read a model folder: config.json, weights (see weights.py) and tokenizer.json, complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ModelConfig
from rxt_model.files.weights import MAX_SHARD_SIZE, ModelFolderError, Tensors, ranks_of, replacing, write_tensors
from rxt_model.model import ReactiveTransformer, TokenModel

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"


def save_pretrained(
    model: TokenModel,
    folder: str | os.PathLike[str],
    state: dict[str, Tensor] | None = None,
    *,
    tokenizer_json: str | None = None,
    max_shard_size: int = MAX_SHARD_SIZE,
) -> None:
    """Write `model`, or its gathered `state`, to `folder`: weights first, config.json last. Each file is whole or
    absent, also after a power cut.

    `tokenizer_json` is the content of the tokenizer.json to add. Raises ModelFolderError if the model was made with
    another tokenizer. Weights of more than `max_shard_size` bytes go to several files.

    All ranks of a sharded model must call this together, and share the writing of several files. They have one folder,
    or an empty one each; what is no weight is written by rank 0.
    """
    folder = Path(folder)
    state = state or model.state_dict()
    rank, _ = ranks_of(state)
    if tokenizer_json is not None:
        _require_tokenizer(folder, tokenizer_json.encode(), model.config)
    folder.mkdir(parents=True, exist_ok=True)
    if rank == 0:
        (folder / CONFIG).unlink(missing_ok=True)
        _drop_stranger(folder / TOKENIZER, model.config)
    write_tensors(folder, state, max_shard_size)
    if rank > 0:
        return
    if tokenizer_json is not None:
        with replacing(folder / TOKENIZER) as temporary:
            temporary.write_bytes(tokenizer_json.encode())
    record = {"kind": "baseline" if isinstance(model, StatelessDecoder) else "rxt"}
    record |= json.loads(model.config.to_json())
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True), encoding="utf-8")


def load_config(folder: str | os.PathLike[str]) -> tuple[str, ModelConfig]:
    """Return the kind (`rxt` or `baseline`) and the config of a model folder. Raises ModelFolderError."""
    path = Path(folder) / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path}: not found; a model folder holds {CONFIG} and weights") from error
    except ValueError as error:
        raise ModelFolderError(f"{path}: damaged ({error}); expected JSON") from error
    kind = record.pop("kind", None) if isinstance(record, dict) else None
    if kind not in ("rxt", "baseline"):
        raise ModelFolderError(f"{path}: kind = {kind!r}; expected rxt or baseline")
    return kind, ModelConfig.from_json(json.dumps(record))


def from_pretrained(folder: str | os.PathLike[str], device: str = "cpu") -> ReactiveTransformer | StatelessDecoder:
    """Load the model of a folder, in evaluation mode.

    Raises ModelFolderError, before it loads anything, if a file is missing, truncated or damaged, if tensors are
    missing, unexpected or of another shape than the config's, and if tokenizer.json belongs to another model.
    """
    folder = Path(folder)
    kind, config = load_config(folder)
    if (folder / TOKENIZER).is_file():
        _require_tokenizer(folder, (folder / TOKENIZER).read_bytes(), config)
    tensors = Tensors(folder)
    with torch.device("meta"):
        if kind == "baseline":
            model: ReactiveTransformer | StatelessDecoder = StatelessDecoder(config)
        else:
            head = any(name.startswith("mlm_head.") for name in tensors.shapes)
            model = ReactiveTransformer(config, mlm_head=head)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    names = expected.keys() | tensors.shapes.keys()
    wrong = sorted(name for name in names if expected.get(name) != tensors.shapes.get(name))
    if wrong:
        found, wanted = (of.get(wrong[0], "no such tensor") for of in (tensors.shapes, expected))
        raise ModelFolderError(
            f"{tensors.place(wrong[0])}: {len(wrong)} tensors do not fit {CONFIG}, first {wrong[0]}: "
            f"found {found}, expected {wanted}"
        )
    model.load_state_dict(tensors.load(device), assign=True)
    return model.eval()


def _drop_stranger(tokenizer: Path, config: ModelConfig) -> None:
    """Remove the tokenizer.json of an earlier model that had another tokenizer."""
    if tokenizer.is_file() and hashlib.sha256(tokenizer.read_bytes()).hexdigest() != config.tokenizer_digest:
        tokenizer.unlink()


def _require_tokenizer(folder: Path, content: bytes, config: ModelConfig) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != config.tokenizer_digest:
        raise ModelFolderError(
            f"{folder / TOKENIZER}: not the tokenizer of this model: found sha256 {digest}, "
            f"expected {config.tokenizer_digest or 'none, as its config names no tokenizer'}"
        )
