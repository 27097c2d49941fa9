"""The folder in which a Ray on this machine keeps its sockets and logs."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST = 39  # bytes: Ray adds up to 68 for a socket, whose path has 107 at most


def folder() -> Path:
    """It is `ray` below `RAY_TMPDIR`, `TMPDIR` or /tmp."""
    return _parent()[1] / "ray"


def trouble() -> str:
    """Why Ray could not start in its folder, empty if it could."""
    name, parent = _parent()
    shown = f"{name}={parent}" if name else str(parent)
    if len(os.fsencode(parent)) > LONGEST:
        return f"{shown} has {len(os.fsencode(parent))} bytes: too long for Ray's sockets, at most {LONGEST}"
    for path in (parent / "ray", parent, *parent.parents):
        if not os.path.lexists(path):
            continue
        if not path.is_dir():
            return f"{shown}: {path} is a file, and Ray needs a folder"
        if not os.access(path, os.W_OK | os.X_OK):
            return f"{shown}: {path} belongs to {_owner(path)}, and this user may not write to it"
        return ""
    return ""


def _parent() -> tuple[str, Path]:
    """The folder above, and the variable that names it, if any."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    return name, Path(os.environ[name] if name else "/tmp")


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user id without an account
        return f"user id {path.stat().st_uid}"
