"""Finds the commit of this repository that is running."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from pipelines.code_digest import ROOT


@cache
def commit() -> str:
    """The commit, with `-dirty` if files differ from it. A Ray job has no `.git`: there `RXT_COMMIT` names the commit.
    Empty if neither knows: an unpacked archive inside another repository is at no commit of that one."""
    if "RXT_COMMIT" in os.environ:
        return os.environ["RXT_COMMIT"]
    if shutil.which("git") is None:
        return ""
    if not (top := _git("rev-parse", "--show-toplevel")) or Path(top).resolve() != ROOT:
        return ""
    return _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(*words: str) -> str:
    """What git says about the folder of this code; empty if it refuses."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of a hook
    said = subprocess.run(["git", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    return said.stdout.strip() if said.returncode == 0 else ""
