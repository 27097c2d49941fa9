"""Finds the commit of this repository that is running."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from pipelines.code_digest import ROOT


@cache
def commit() -> str:
    """The commit, with `-dirty` if files differ from it. A Ray job has no `.git`: there `RXT_COMMIT` names the commit.
    Empty if neither knows."""
    if "RXT_COMMIT" in os.environ:
        return os.environ["RXT_COMMIT"]
    if shutil.which("git") is None:
        return ""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return described.stdout.strip() if described.returncode == 0 else ""
