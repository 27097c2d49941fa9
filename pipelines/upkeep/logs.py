"""`rxt logs`: what an attempt said while it was made, and why it failed."""

from __future__ import annotations

from jobs.stage.context import StageError
from pipelines.advice import way_on
from pipelines.artifacts import FAILURE, LOG, METRICS, Attempt
from pipelines.guard.addresses import masked_address
from pipelines.guard.terminal import say
from pipelines.planner import named
from pipelines.session import Session


def print_logs(session: Session, name: str, artifact_id: str | None) -> None:
    """Prints the log of one attempt: of the one named, else of the one that counts. Raises StageError if there is
    none."""
    named(session.stages, name)
    statuses = session.plan()
    status = statuses[name]
    attempt = session.store.find(name, artifact_id) if artifact_id else status.attempt or _last(session, name)
    if attempt is None:
        raise StageError(f"{name} is {status.state}: nothing was made yet", way_on(session.invocation, statuses, name))
    say(f"{session.header}\n{name} {attempt.artifact_id}: {masked_address(session.store.uri(attempt))}")
    for line in (session.store.read_text(attempt, LOG) or "it has no log\n").splitlines():
        say(line)
    failure = session.store.read_note(attempt, FAILURE)
    if failure:
        say(f"\n{failure.get('traceback', '')}\n{failure.get('message', '')}")
    points = (session.store.read_text(attempt, METRICS) or "").splitlines()
    if points:
        say(f"last of {len(points)} lines of {METRICS}: {points[-1]}")
    if attempt == status.attempt and not status.is_complete:
        say(f"next: {way_on(session.invocation, statuses, name)}")


def _last(session: Session, name: str) -> Attempt | None:
    """Any attempt, if none has the fingerprint of now: a stale stage has a log, too."""
    return max(session.store.attempts(name), default=None, key=lambda attempt: attempt.number)
