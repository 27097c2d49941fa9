"""Make artifacts whose manifests record the files of their folders, as those in the store do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jobs.stage.context import Artifact


def recorded(stage: str, artifact_id: str, uri: str, **manifest: Any) -> Artifact:
    """Return the present content of the folder at `uri` as an upstream result."""
    return Artifact(stage, artifact_id, uri, manifest | {"outputs": outputs(uri)})


def outputs(uri: str) -> dict[str, dict[str, Any]]:
    """Return {relative path: {size, sha256}} of a local folder."""
    found = {}
    for path in sorted(path for path in Path(uri).rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(uri).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
    return found
