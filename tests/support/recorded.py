"""Make artifacts whose manifests record the files of their folders, as those in the store do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jobs.stage.context import Artifact


def recorded(stage: str, artifact_id: str, uri: str, **manifest: Any) -> Artifact:
    """Return the present content of the folder at `uri` as an upstream result."""
    return Artifact(stage, artifact_id, uri, manifest | {"outputs": outputs(uri)})


def manifest(stage: str, short: str, uri: str, **values: Any) -> dict[str, Any]:
    """Return the manifest of a complete first attempt that made the present content of the folder at `uri`."""
    return {
        "schema": 1,
        "stage": stage,
        "artifact_id": f"{short}-1",
        "attempt": 1,
        "fingerprint": f"{short:0<64}",
        "payload": {"stage": stage, "version": 1, "config": {}, "inputs": {}},
        "inputs": {},
        "outputs": outputs(uri),
        "content_digest": "",
        "result": "",
        "metrics": {},
        "provenance": {"code": {}},
        "mlflow_run_id": None,
        "seconds": 1.0,
        "finished": 1.0,
    } | values


def outputs(uri: str) -> dict[str, dict[str, Any]]:
    """Return {relative path: {size, sha256}} of a local folder."""
    found = {}
    for path in sorted(path for path in Path(uri).rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(uri).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
    return found
