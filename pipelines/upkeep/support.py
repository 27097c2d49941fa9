"""`rxt support`: one archive with what somebody needs who looks into a failure: settings, states, records, logs, and
what `rxt doctor` finds. It holds no data, no weights, and no secret that is known here or has a known form."""

from __future__ import annotations

import json
import os
import platform
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import distributions, version
from pathlib import Path

from jobs.stage import ray_folder
from jobs.stage.context import StageError
from pipelines.artifacts import FAILURE, LOG, MANIFEST, METRICS, RESOLVED, RUN, Attempt, RecordUnreadable
from pipelines.fingerprint import plain
from pipelines.guard.secrets import redacted, shown_setting
from pipelines.guard.token import Token
from pipelines.revision import commit
from pipelines.session import Session
from pipelines.upkeep.doctor import PROJECT, examine_machine

SETTINGS = re.compile(r"^(RXT|RAY|MLFLOW|AWS|HF|OMP|CUDA|NCCL|TORCH|LC|PG)_|^LANG$|_PROXY$", re.I)
LONGEST_LOG, ALL_LOGS = 100_000, 5_000_000  # bytes


def write_bundle(session: Session, file: Path) -> list[str]:
    """Writes the archive, readable for this user alone, and returns the names in it."""
    with suppress(StageError):
        Token.find()  # so that it is known, and hidden
    files = [(name, redacted(text)) for name, text in (*_machine(), *_pipeline(session), *_ray_logs())]
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files:
            archive.writestr(name, text)
    return [name for name, _ in files]


def _machine() -> Iterator[tuple[str, str]]:
    packages = sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()}, key=str.lower)
    about = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "version": version(PROJECT),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }
    yield "about.json", json.dumps(about, indent=2)
    yield "doctor.json", json.dumps([asdict(finding) for finding in examine_machine()], indent=2)
    settings = sorted((name, value) for name, value in os.environ.items() if SETTINGS.search(name))
    yield "environment.txt", "".join(f"{shown_setting(name, value)}\n" for name, value in settings)


def _pipeline(session: Session) -> Iterator[tuple[str, str]]:
    yield "config.json", json.dumps(plain(session.config), indent=2)
    try:
        statuses = session.plan()
    except RecordUnreadable as error:
        yield "status.json", json.dumps(session.identity | {"error": str(error)}, indent=2)
        made = [session.store.attempts(stage.name) for stage in session.stages]
        attempts = [max(found, key=lambda attempt: attempt.number) for found in made if found]
    else:
        yield "status.json", json.dumps(session.as_object(statuses), indent=2)
        attempts = [status.attempt for status in statuses.values() if status.attempt]
    for attempt in attempts:
        yield from _records(session, attempt)


def _records(session: Session, attempt: Attempt) -> Iterator[tuple[str, str]]:
    for name in (RESOLVED, MANIFEST, FAILURE, RUN, LOG, METRICS):
        text = session.store.read_text(attempt, name)
        if text:
            yield f"stages/{attempt.stage}/{attempt.artifact_id}/{name}", _end_of(text)


def _ray_logs() -> Iterator[tuple[str, str]]:
    """The logs of the newest session of Ray on this machine, as far as there is room, the newest first."""
    logs = ray_folder.folder() / "session_latest" / "logs"
    left = ALL_LOGS
    found = [path for path in logs.glob("*") if path.suffix in (".log", ".out", ".err") and path.is_file()]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            text = _end_of(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:  # of another user, or gone
            continue
        if text and left > 0:
            left -= len(text)
            yield f"ray/{path.name}", text


def _end_of(text: str) -> str:
    return text if len(text) <= LONGEST_LOG else f"[the end of {len(text):,} characters]\n{text[-LONGEST_LOG:]}"
