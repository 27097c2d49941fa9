"""The folder in which a Ray on this machine keeps its sockets and logs."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST = 39  # bytes: Ray adds up to 68 for a socket, whose path has 107 at most


def trouble() -> str:
    """Why Ray could not start in its folder, empty if it could. It is `ray` below `RAY_TMPDIR`, `TMPDIR` or /tmp."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    parent = Path(os.environ[name] if name else "/tmp")
    shown = f"{name}={parent}" if name else str(parent)
    if len(os.fsencode(parent)) > LONGEST:
        return f"{shown} has {len(os.fsencode(parent))} bytes: too long for Ray's sockets, at most {LONGEST}"
    for folder in (parent / "ray", parent, *parent.parents):
        if not os.path.lexists(folder):
            continue
        if not folder.is_dir():
            return f"{shown}: {folder} is a file, and Ray needs a folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{shown}: {folder} belongs to {_owner(folder)}, and this user may not write to it"
        return ""
    return ""


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:  # a user id without an account
        return f"user id {folder.stat().st_uid}"
