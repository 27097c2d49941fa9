"""Prints what the reading commands show, for people and as JSON. Deletes one attempt, with care."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from jobs.stage.context import Look, StageError
from pipelines.advice import back_lines, closing_lines, way_on
from pipelines.artifacts import MANIFEST, RESOLVED, Attempt, RecordUnreadable, StoreError
from pipelines.display import console_on, duration, print_table, stage_table, table_of
from pipelines.fingerprint import plain
from pipelines.guard.addresses import masked_address
from pipelines.guard.terminal import say
from pipelines.lease import DEFAULT_TIMES, holder_of, living_holder, take
from pipelines.overrides import settings
from pipelines.planner import StageStatus, named
from pipelines.session import Session
from tokenization.files.storage import MAKE_ROOM


def table(session: Session, statuses: Mapping[str, StageStatus], header: bool = True) -> None:
    """Prints the stage table, and the next command below it."""
    if header:
        say(session.header)
    print_table(console_on(sys.stdout), stage_table(statuses.values()))
    until = list(statuses)[-1] if len(statuses) < len(session.stages) else None
    for line in closing_lines(session.invocation, statuses, until):
        say(line)


def why(session: Session, statuses: Mapping[str, StageStatus], name: str, as_json: bool) -> None:
    """Prints all reasons for a stage's state."""
    status = statuses[named(session.stages, name).name]
    if as_json:
        found = {"stage": name, "state": status.state, "reason": status.reason, "changes": status.changes}
        print(json.dumps(session.identity | found))
        return
    say(session.header)
    say(f"{name} is {status.state}" + (f": {status.reason}" if status.reason and not status.changes else ""))
    for line in status.changes:
        say(f"  {line}")
    for blocker in status.waits_for:
        say(f"next: {session.invocation.status('--why', blocker)}")
    if status.state in ("stale", "missing", "interrupted", "failed"):
        say(f"next: {way_on(session.invocation, statuses, name)}")
    for line in back_lines(session.invocation, status):
        say(line)


def config(session: Session) -> None:
    """Prints the whole resolved configuration, one key a line, as a file for `--config` may have it."""
    used = [id(stage.config) for stage in session.stages]
    say(f"curriculum = {json.dumps(session.config.curriculum)}")
    for section, value in session.config:
        name = section.replace("_", "-")  # spelled as the stages are
        if value is None or (id(value) not in used and name not in ("curriculum", "execution")):
            say(f"# {name} is left out")
        elif name != "curriculum":
            for line in settings(value, f"{name}."):
                say(line)


def stage_list(session: Session, as_json: bool) -> None:
    """Print the stages of the preset with their inputs."""
    rows = [(stage.name, stage.summary, [up.name for up in stage.inputs.values()]) for stage in session.stages]
    if as_json:
        stages = [{"stage": name, "summary": summary, "inputs": inputs} for name, summary, inputs in rows]
        print(json.dumps(session.identity | {"stages": stages}, indent=2))
        return
    say(session.header)
    shown = [(name, summary, ", ".join(inputs)) for name, summary, inputs in rows]
    print_table(console_on(sys.stdout), table_of(("stage", "what it does", "inputs"), shown))


def stage_show(session: Session, name: str, as_json: bool) -> None:
    """Prints config, attempts, metrics and URI of one stage, and its report if it wrote one."""
    stage = named(session.stages, name)
    status = session.plan()[name]
    attempts = [_attempt_object(session, attempt) for attempt in session.store.attempts(name)]
    if as_json:
        found = session.identity | {
            "stage": name,
            "state": status.state,
            "reason": status.reason,
            "config": plain(stage.config),
            "attempts": attempts,
            "metrics": status.manifest["metrics"] if status.manifest else None,
        }
        print(json.dumps(found, indent=2))
        return
    say(f"{session.header}\n{name}: {stage.summary}\nstate {status.state}   {status.reason}\n\nconfig")
    for line in settings(stage.config):
        say(f"  {line}")
    if attempts:
        rows = [(a["artifact_id"], a["state"], a["took"], a["result"], a["finished"], a["uri"]) for a in attempts]
        say()
        header = ("artifact", "state", "took", "result", "finished", "uri")
        print_table(console_on(sys.stdout), table_of(header, rows))
    if status.manifest:
        attempt, manifest = status.made
        say(f"\nmetrics of {attempt.artifact_id}   mlflow run {session.mlflow_run(attempt)}")
        for key, value in manifest["metrics"].items():
            say(f"  {key} = {value:.6g}" if isinstance(value, float) else f"  {key} = {value}")
        report = session.store.read_text(attempt, "report.md")
        if report is not None:
            say(f"\n{report}")


def discard(session: Session, name: str, artifact_id: str, as_json: bool, confirm: Callable[[str], bool] | None) -> int:
    """Deletes one attempt, after saying what was built from it. Returns 2 if the user says no. Takes the lease of one
    that is not complete first, and so waits for a holder that cannot be seen."""
    if name not in session.store.stages():  # which may be a stage of another preset
        named(session.stages, name)
    attempt = session.store.find(name, artifact_id)
    out = sys.stderr if as_json else sys.stdout
    if MANIFEST in session.store.names(attempt):  # a damaged one, too, must be possible to discard
        return _discard(session, attempt, as_json, confirm)
    try:
        lease = take(session.store, attempt, lambda text: say(text, out))
    except StoreError as error:
        if error.remedy != MAKE_ROOM or living_holder(session.store, attempt, lambda text: say(text, out)):
            raise
        return _discard(session, attempt, as_json, confirm)  # a full disk has no room for a lease
    try:
        return _discard(session, attempt, as_json, confirm)
    finally:
        lease.release()


def _discard(session: Session, attempt: Attempt, as_json: bool, confirm: Callable[[str], bool] | None) -> int:
    name, artifact_id, out = attempt.stage, attempt.artifact_id, sys.stderr if as_json else sys.stdout
    if readers := _being_read_by(session, attempt, lambda text: say(text, out)):
        raise StageError(f"{name} {artifact_id} is being read by {'; '.join(readers)}", Look())
    users = _built_from(session, attempt)
    say(f"{session.header}\n{name} {artifact_id}: {masked_address(session.store.uri(attempt))}", out)
    for user in users:
        say(f"  {user} was built from it", out)
    if confirm is not None and not confirm("delete it?"):
        say("kept", out)
        return 2
    session.store.discard(attempt)
    if as_json:
        print(json.dumps(session.identity | {"discarded": artifact_id, "built_from_it": users}))
    else:
        say(f"deleted\nnext: {session.invocation.status()}")
    return 0


def _built_from(session: Session, attempt: Attempt) -> list[str]:
    found = []
    for stage in session.store.stages():
        for other in session.store.attempts(stage):
            try:
                manifest = session.store.manifest(other)
            except RecordUnreadable:  # whoever needs that one will say so
                continue
            if manifest and _reads(manifest, attempt):
                found.append(f"{stage} {other.artifact_id}")
    return found


def _being_read_by(session: Session, attempt: Attempt, say: Callable[[str], None]) -> list[str]:
    """The attempts under way that read this one, each with the process that makes it."""
    found = []
    for stage in session.store.stages():
        for other in session.store.attempts(stage):
            reads = _reads(session.store.read_note(other, RESOLVED), attempt)
            if not reads or MANIFEST in session.store.names(other):
                continue
            if holder := living_holder(session.store, other, say):
                found.append(f"{stage} {other.artifact_id}, which {holder} makes")
    return found


def _reads(record: Mapping[str, Any] | None, attempt: Attempt) -> bool:
    """Whether a record (a manifest, or what an attempt writes at its start) names `attempt` among its inputs."""
    inputs = (record or {}).get("inputs", {}).values()
    return any((i["stage"], i["artifact_id"]) == (attempt.stage, attempt.artifact_id) for i in inputs)


def _attempt_object(session: Session, attempt: Attempt) -> dict[str, Any]:
    manifest, unreadable = None, ""
    try:
        manifest = session.store.manifest(attempt)
    except RecordUnreadable as error:
        unreadable = str(error)
    holder = None if manifest or unreadable else holder_of(session.store, attempt)
    running = holder is not None and holder.looks_alive(DEFAULT_TIMES)
    return {
        "artifact_id": attempt.artifact_id,
        "state": "unreadable" if unreadable else "complete" if manifest else "running" if running else "not complete",
        "uri": masked_address(session.store.uri(attempt)),
        "took": duration(manifest["seconds"]) if manifest else "-",
        "result": manifest["result"] if manifest else unreadable,
        "finished": time.strftime("%Y-%m-%d %H:%M", time.localtime(manifest["finished"])) if manifest else "-",
        "mlflow_run_id": session.mlflow_run(attempt),
    }
