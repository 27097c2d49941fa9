"""The hand-over folder: config.json and model.safetensors, complete or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ModelConfig
from rxt_model.model import ReactiveTransformer

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


class ModelFolderError(ValueError):
    """A model folder that cannot be loaded: says which file, what was found and what was expected."""


def save_pretrained(model: nn.Module, folder: str | os.PathLike[str], state: dict[str, Tensor] | None = None) -> None:
    """Write `model` (or its gathered `state`) to `folder`; weights first, config.json last, each by rename."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().contiguous() for name, t in (state or model.state_dict()).items()}
    temporary = folder / f".{WEIGHTS}"
    save_file(tensors, temporary, metadata={"format": "pt"})
    os.replace(temporary, folder / WEIGHTS)
    record = {"kind": "baseline" if isinstance(model, StatelessDecoder) else "rxt"}
    record |= json.loads(model.config.to_json())
    temporary = folder / f".{CONFIG}"
    temporary.write_text(json.dumps(record, indent=2, sort_keys=True), encoding="utf-8")
    os.replace(temporary, folder / CONFIG)


def load_config(folder: str | os.PathLike[str]) -> tuple[str, ModelConfig]:
    """Kind (`rxt` or `baseline`) and config of a model folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ModelFolderError(f"{path}: not found; a model folder holds {CONFIG} and {WEIGHTS}")
    record = json.loads(path.read_text(encoding="utf-8"))
    kind = record.pop("kind", None)
    if kind not in ("rxt", "baseline"):
        raise ModelFolderError(f"{path}: kind = {kind!r}; expected rxt or baseline")
    return kind, ModelConfig.from_json(json.dumps(record))


def load_pretrained(folder: str | os.PathLike[str], device: str = "cpu") -> ReactiveTransformer | StatelessDecoder:
    """The model of a folder, in evaluation mode. Missing, extra or misshapen tensors are an error that names them."""
    kind, config = load_config(folder)
    path = Path(folder) / WEIGHTS
    try:
        tensors = load_file(path, device=device)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path}: not found; a model folder holds {CONFIG} and {WEIGHTS}") from error
    except SafetensorError as error:
        raise ModelFolderError(f"{path}: truncated or damaged ({error})") from error
    with torch.device("meta"):
        if kind == "baseline":
            model: ReactiveTransformer | StatelessDecoder = StatelessDecoder(config)
        else:
            model = ReactiveTransformer(config, mlm_head=any(name.startswith("mlm_head.") for name in tensors))
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        raise ModelFolderError(
            f"{path}: {len(wrong)} tensors do not fit {CONFIG}, first {first}: "
            f"found {found.get(first)}, expected {expected.get(first)}"
        )
    model.load_state_dict(tensors, assign=True)
    return model.eval()
