"""`rxt gc`: what of a store nothing needs any more, and its removal.

Garbage is: the checkpoints of complete attempts, which only a resume reads; attempts that a newer complete attempt at
the same fingerprint replaced, unless a complete artifact was built from them; and what an interrupted discard left.
An attempt whose records cannot be read may be good, and built from any other: while there is one, every replaced
attempt stays, and all checkpoints of its stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.artifacts import RESOLVED, ArtifactStore, Attempt, RecordUnreadable
from pipelines.lease import living_holder


@dataclass(frozen=True)
class Garbage:
    """What of one attempt may go: the named top-level entries, or all of it if there are none. `size` is in bytes."""

    attempt: Attempt
    reason: str
    size: int
    entries: tuple[str, ...] = ()


def find_garbage(store: ArtifactStore, say: Callable[[str], None]) -> list[Garbage]:
    """All garbage of a store, stage by stage. `say` is told of attempts that are left alone."""
    attempts = [attempt for stage in store.stages() for attempt in store.attempts(stage)]
    complete: set[Attempt] = set()
    inputs: dict[Attempt, Any] = {}
    unread: set[str] = set()  # stages
    for attempt in attempts:
        try:
            if manifest := store.manifest(attempt):
                complete.add(attempt)
            inputs[attempt] = (manifest or store.read_json(attempt, RESOLVED) or {}).get("inputs", {})
        except RecordUnreadable as error:
            unread.add(attempt.stage)
            say(f"{attempt.stage} {attempt.artifact_id} stays, and so does what others replaced: {error}")
    replaced = {} if unread else _replaced(store, inputs, complete, say)
    found = []
    for attempt in [attempt for stage in store.stages() for attempt in store.half_discarded(stage)]:
        found.append(Garbage(attempt, "its discard was interrupted", _size(store, attempt)))
    for attempt in attempts:
        if attempt in replaced:
            found.append(Garbage(attempt, f"{replaced[attempt].artifact_id} replaced it", _size(store, attempt)))
        elif attempt.stage not in unread and attempt in complete and (entries := store.checkpoints(attempt)):
            found.append(Garbage(attempt, "checkpoints of a complete stage", _size(store, attempt, entries), entries))
    return sorted(found, key=lambda garbage: garbage.attempt)


def remove(store: ArtifactStore, garbage: Garbage) -> None:
    """Deletes it. If that is interrupted, the next `find_garbage` finds the rest."""
    if garbage.entries:
        store.remove_entries(garbage.attempt, garbage.entries)
    else:
        store.discard(garbage.attempt)


def _replaced(
    store: ArtifactStore, inputs: Mapping[Attempt, Any], complete: set[Attempt], say: Callable[[str], None]
) -> dict[Attempt, Attempt]:
    """Attempts that nobody needs, each with the newer complete one at the same fingerprint. `inputs` are those of all
    attempts, by their records."""
    newest = {
        (attempt.stage, attempt.short): attempt for attempt in sorted(complete, key=lambda attempt: attempt.number)
    }
    candidates = {}
    for attempt in inputs:
        newer = newest.get((attempt.stage, attempt.short))
        if newer is None or attempt.number >= newer.number:
            continue
        if attempt not in complete and (holder := living_holder(store, attempt, say)):
            say(f"{attempt.stage} {attempt.artifact_id} stays: it is being written by {holder}")
        else:
            candidates[attempt] = newer
    readers = _readers(inputs)
    found: dict[Attempt, Attempt] = {}
    while more := {a: n for a, n in candidates.items() if a not in found and readers.get(a, set()) <= found.keys()}:
        found |= more  # what only garbage was built from is garbage
    for attempt in candidates.keys() - found.keys():
        say(f"{attempt.stage} {attempt.artifact_id} stays: another artifact was built from it")
    return found


def _readers(inputs: Mapping[Attempt, Any]) -> dict[Attempt, set[Attempt]]:
    """Which attempts, complete or not, name an attempt among their inputs."""
    by_name = {(attempt.stage, attempt.artifact_id): attempt for attempt in inputs}
    found: dict[Attempt, set[Attempt]] = {}
    for attempt, sources in inputs.items():
        for source in sources.values():
            if upstream := by_name.get((source["stage"], source["artifact_id"])):
                found.setdefault(upstream, set()).add(attempt)
    return found


def _size(store: ArtifactStore, attempt: Attempt, entries: tuple[str, ...] = ()) -> int:
    """Bytes of the whole attempt, or of some entries of its folder."""
    sizes = store.sizes(attempt).items()
    return sum(size for name, size in sizes if not entries or name.partition("/")[0] in entries)
