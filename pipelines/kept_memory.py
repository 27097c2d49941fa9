"""The files in which `rxt chat` keeps the memory of a conversation: `/save FILE` and `/load FILE`."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError

from jobs.stage.context import StageError
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState, OtherKindError


class KeptMemoryError(StageError):
    """A file cannot keep a conversation, or holds none that the model can go on with."""


def place_of(command: str, argument: str) -> Path:
    """Return the path that a user named behind a command, with `~` and without quotes around it."""
    if not argument:
        raise KeptMemoryError(f"{command} needs a file", f"{command} my.safetensors")
    if len(argument) > 1 and argument[0] == argument[-1] and argument[0] in "'\"":
        argument = argument[1:-1]
    try:
        path = Path(argument).expanduser()
    except RuntimeError:  # `~somebody` who is not there
        path = Path(argument)
    if os.path.isdir(path):
        raise KeptMemoryError(f"{command} {argument}: is a folder", f"{command} {path / 'my.safetensors'}")
    return path


def save(state: ConversationState, path: Path, model: ReactiveTransformer) -> None:
    """Write the state. It replaces no file but one that holds a saved conversation."""
    if not os.path.isdir(path.parent):
        raise KeptMemoryError(f"/save {path}: there is no folder {path.parent}", "/save my.safetensors")
    if os.path.exists(path) and not ConversationState.is_in(path):
        other = path.with_name(f"{path.stem}-memory.safetensors")
        raise KeptMemoryError(f"/save {path}: that file is no saved conversation, and stays", f"/save {other}")
    try:
        state.save(path, model)
    except (OSError, ValueError, SafetensorError) as error:
        raise KeptMemoryError(f"/save {path}: {_told(error)}", "/save my.safetensors") from error


def load(path: Path, model: ReactiveTransformer) -> ConversationState:
    """Read a saved state that goes with the model."""
    try:
        return ConversationState.load(path, model)
    except OtherKindError as error:
        long = "" if model.config.memory.fragments else " --long"
        raise KeptMemoryError(f"/load {error}", f"rxt chat{long}     and there /load {path}") from error
    except FileNotFoundError as error:
        raise KeptMemoryError(f"/load {path}: there is no such file", "/load FILE, which /save FILE wrote") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise KeptMemoryError(f"/load {_told(error, path)}", "/load FILE, which /save FILE wrote") from error


def _told(error: Exception, path: Path | None = None) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text if path is None or text.startswith(f"{path}:") else f"{path}: {text}"
