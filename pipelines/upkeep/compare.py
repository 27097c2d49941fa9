"""`rxt stage show STAGE --diff A B`: what two attempts at a stage were made from and with, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jobs.stage.context import Look, StageError
from pipelines.artifacts import MANIFEST, RESOLVED, Attempt
from pipelines.code_digest import changed_files
from pipelines.fingerprint import diff
from pipelines.guard.terminal import say
from pipelines.planner import named
from pipelines.session import Session


def show_difference(session: Session, name: str, first: str, second: str, as_json: bool) -> None:
    """Prints what differs between two attempts. Raises StageError for one that has no records."""
    named(session.stages, name)
    attempts = [session.store.find(name, artifact_id) for artifact_id in (first, second)]
    before, after = (_record(session, attempt) for attempt in attempts)
    found = dict(_differences(before, after))
    if as_json:
        print(json.dumps(session.identity | {"stage": name, "from": first, "to": second} | found, indent=2))
        return
    say(f"{session.header}\n{name}: {first} -> {second}")
    for part, lines in found.items():
        say(f"{part}: {'the same' if not lines else ''}".rstrip())
        for line in lines:
            say(f"  {line}")


def _record(session: Session, attempt: Attempt) -> dict[str, Any]:
    """The manifest, or what an attempt that is not complete wrote at its start."""
    record = session.store.manifest(attempt) or session.store.read_json(attempt, RESOLVED)
    if record is None:
        raise StageError(
            f"{attempt.stage} {attempt.artifact_id} has neither {MANIFEST} nor {RESOLVED}", Look(attempt.stage)
        )
    return record


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    made_with = [record.get("provenance", {}) for record in (before, after)]
    yield "config and inputs", diff(before["payload"], after["payload"])
    yield "metrics", diff(before.get("metrics", {}), after.get("metrics", {}))
    yield "files", diff(_digests(before), _digests(after))
    yield "code", changed_files(*(made.get("code", {}) for made in made_with))
    yield "packages", diff(*(made.get("packages", {}) for made in made_with))


def _digests(record: dict[str, Any]) -> dict[str, str]:
    return {name: output["sha256"] for name, output in record.get("outputs", {}).items()}
