"""Be a user for whom the permissions of files count, also where root runs the tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def folder_of_nobody() -> Generator[Path]:
    """Give a new folder that every user can reach, and delete it."""
    folder = Path(tempfile.mkdtemp(prefix="rxt-nobody-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_owner(folder: Path) -> Generator[None]:
    """Let this process be the user who owns `folder` and all below it, and is not root."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
