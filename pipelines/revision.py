"""Which commit of this repository is running."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from pipelines.code_digest import ROOT


@cache
def commit() -> str:
    """The commit, with `-dirty` if files differ from it. A Ray job is told by `RXT_COMMIT`, as it has no `.git`; empty
    if nothing knows."""
    if "RXT_COMMIT" in os.environ:
        return os.environ["RXT_COMMIT"]
    if shutil.which("git") is None:
        return ""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return described.stdout.strip() if described.returncode == 0 else ""
