"""What a result was made with. The manifest records it; the fingerprint does not include it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from pipelines.code_digest import ROOT, code_digest
from pipelines.guard.secrets import redacted
from pipelines.revision import commit


def provenance(function: str) -> dict[str, Any]:
    """The commit, the code digest of the stage's `module:name`, package versions, hardware and the command line."""
    return {
        "commit": commit(),
        "code": code_digest(function),
        "packages": {"python": platform.python_version(), **_packages()},
        "hardware": {
            "machine": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "ray_address": os.environ.get("RAY_ADDRESS", ""),
        },
        "command": redacted(shlex.join(sys.argv)),
    }


def _packages() -> dict[str, str]:
    """The versions of all packages that the project asks for, and of its extras if they are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    found = {}
    for requirement in project["dependencies"] + extras:
        (name,) = re.findall(r"^[A-Za-z0-9_.-]+", requirement)
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an extra that nobody installed
            continue
    return found
