"""Tells a command of the user how a run ended: `RXT_NOTIFY='curl -sS --data-binary @- https://…' rxt run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from jobs.stage.context import StageError
from pipelines.display import duration
from pipelines.guard.secrets import redacted
from pipelines.guard.terminal import say

if TYPE_CHECKING:
    from pipelines.session import Session

NOTIFY = "RXT_NOTIFY"
LIMIT_SECONDS = 30
OUTCOMES = {0: "done", 1: "failed", 2: "refused", 130: "interrupted"}


def notify(session: Session, code: int, seconds: float, trouble: str = "") -> None:
    """Runs the command that `RXT_NOTIFY` names, in a shell, with one JSON object on its standard input. `text` in it is
    the whole in one line, and `stages` is empty if no state can be told. If the command fails, a warning says so, and
    nothing else changes."""
    command = os.environ.get(NOTIFY)
    if not command:
        return
    outcome = OUTCOMES[code]
    try:
        states = session.as_object(session.plan())
    except StageError:  # a damaged record, or no store: perhaps what ended the run
        states = session.as_object({})
    failed = [f"{entry['stage']}: {entry['reason']}" for entry in states["stages"] if entry["state"] == "failed"]
    reason = redacted(trouble or ("; ".join(failed) if code == 1 else ""))
    text = f"{session.invocation.command}: {outcome} after {duration(seconds)}" + (f": {reason}" if reason else "")
    message = {"text": text, "outcome": outcome, "exit_code": code, "seconds": round(seconds, 1), **states}
    try:
        ended = subprocess.run(
            command, shell=True, input=json.dumps(message).encode(), capture_output=True, timeout=LIMIT_SECONDS
        )
    except OSError as error:
        say(f"warning: the command in {NOTIFY} could not be started: {error.strerror}", sys.stderr)
        return
    except subprocess.TimeoutExpired:
        say(f"warning: the command in {NOTIFY} did not end within {LIMIT_SECONDS} s", sys.stderr)
        return
    if ended.returncode:
        said = redacted(ended.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        say(f"warning: the command in {NOTIFY} ended with exit code {ended.returncode}: {said}", sys.stderr)
