"""What a result was made with. The manifest records it; the fingerprint does not include it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import psutil

from jobs.stage.ray_setup import cluster_address
from pipelines.code_digest import ROOT, code_digest
from pipelines.guard.secrets import redacted
from pipelines.revision import commit

PROJECT = "rxt-pipeline"


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
            "ray_address": cluster_address(),
        },
        "command": redacted(shlex.join(sys.argv)),
    }


def _packages() -> dict[str, str]:
    """The versions of all packages that the project asks for, and of its extras if they are installed."""
    found = {}
    for requirement in _requirements():
        (name,) = re.findall(r"^[A-Za-z0-9_.-]+", requirement)
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an extra that nobody installed
            continue
    return found


def _requirements() -> list[str]:
    """What pyproject.toml asks for. A wheel has it in its metadata, and a job that a wheel submitted has neither."""
    file = ROOT / "pyproject.toml"
    if not file.exists():
        with suppress(PackageNotFoundError):
            return requires(PROJECT) or []
        return []
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + [name for group in project["optional-dependencies"].values() for name in group]
