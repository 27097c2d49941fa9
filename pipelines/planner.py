"""Compares the declared stages with the store: the state of each stage, and why. It loads no torch, Ray or MLflow."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Any, Literal, NamedTuple

from jobs.stage.context import Artifact, StageError
from pipelines.artifacts import FAILURE, MANIFEST, ArtifactStore, Attempt, AttemptClosed, OtherSchema
from pipelines.code_digest import changed_files, code_digest
from pipelines.failures import summary
from pipelines.fingerprint import diff, fingerprint, plain
from pipelines.lease import DEFAULT_TIMES, holder_of
from pipelines.stage import Stage

State = Literal["complete", "missing", "stale", "blocked", "failed", "interrupted", "running"]


class Made(NamedTuple):
    """A complete attempt and its manifest."""

    attempt: Attempt
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class WayBack:
    """`earlier` is complete. It counts again once `discards`, newest first, are gone."""

    earlier: Attempt
    discards: tuple[Attempt, ...]


@dataclass(frozen=True)
class StageStatus:
    """Where a stage stands. `attempt` is the complete one, or the one that `rxt run` would go on with; `changes` are
    all differences to the newest complete artifact of a stale stage, `waits_for` the stages that block this one.
    `failure` is the record of a failed one, unless what it asked for was done; `way_back` leads a failed or interrupted
    rerun to the complete attempt before it."""

    stage: Stage
    state: State
    reason: str = ""
    payload: Mapping[str, Any] | None = None
    fingerprint: str | None = None
    attempt: Attempt | None = None
    manifest: Mapping[str, Any] | None = None
    changes: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    failure: Mapping[str, Any] | None = None
    way_back: WayBack | None = None

    @property
    def is_complete(self) -> bool:
        return self.state == "complete"

    @property
    def made(self) -> Made:
        """What a complete stage made. Raises ValueError for any other."""
        if self.attempt is None or self.manifest is None:
            raise ValueError(f"{self.stage.name} is {self.state}, not complete")
        return Made(self.attempt, self.manifest)

    @property
    def output_id(self) -> str:
        """What identifies this result to the stages after it: its content if that is reproducible, else the attempt."""
        attempt, manifest = self.made
        return manifest["content_digest"] if self.stage.deterministic else attempt.artifact_id


def artifact_of(status: StageStatus, store: ArtifactStore) -> Artifact:
    """What a complete stage made, as the stages after it are given it."""
    attempt, manifest = status.made
    return Artifact(status.stage.name, attempt.artifact_id, store.uri(attempt), manifest)


def plan(stages: Iterable[Stage], store: ArtifactStore) -> dict[str, StageStatus]:
    """The status of each stage by name, upstream first."""
    by_name = {stage.name: stage for stage in stages}
    graph = {stage.name: [upstream.name for upstream in stage.inputs.values()] for stage in by_name.values()}
    statuses: dict[str, StageStatus] = {}
    for name in TopologicalSorter(graph).static_order():
        statuses[name] = examine(by_name[name], statuses, store)
    return {name: statuses[name] for name in by_name}


def examine(stage: Stage, upstream: Mapping[str, StageStatus], store: ArtifactStore) -> StageStatus:
    """The status of one stage, given the statuses of the stages before it."""
    waits_for = _blockers(stage, upstream)
    if waits_for:
        return StageStatus(stage, "blocked", f"waits for {', '.join(waits_for)}", waits_for=waits_for)
    payload = {
        "stage": stage.name,
        "version": stage.version,
        "config": plain(stage.config, whole=False),
        "inputs": {name: upstream[source.name].output_id for name, source in stage.inputs.items()},
    }
    identity = {"payload": payload, "fingerprint": fingerprint(payload)}
    attempt = store.newest(stage.name, identity["fingerprint"])
    if attempt is None:
        return _without_attempt(stage, store, identity)
    try:
        status = _with_attempt(stage, store, attempt, identity)
        if status.state == "failed":
            status = _with_failure(status, attempt, upstream, store)
    except AttemptClosed as error:
        asks = {"next_command": error.way_out, "repeats": True}
        return StageStatus(stage, "failed", str(error), attempt=attempt, failure=asks, **identity)
    if status.state in ("failed", "interrupted"):
        status = replace(status, way_back=_way_back(store, attempt))
    return status


def needed(stages: Iterable[Stage], until: str | None) -> list[Stage]:
    """The stages up to and including `until`, in declared order. All stages if it is None."""
    stages = list(stages)
    if until is None:
        return stages
    wanted: set[str] = set()
    todo = [named(stages, until)]
    while todo:
        stage = todo.pop()
        if stage.name not in wanted:
            wanted.add(stage.name)
            todo += stage.inputs.values()
    return [stage for stage in stages if stage.name in wanted]


def downstream(stages: Iterable[Stage], name: str) -> list[Stage]:
    """The stages that read what `name` makes, directly or through others, in declared order."""
    reached = {name}
    found = []
    for stage in stages:
        if stage.name not in reached and any(upstream.name in reached for upstream in stage.inputs.values()):
            reached.add(stage.name)
            found.append(stage)
    return found


def named(stages: Iterable[Stage], name: str) -> Stage:
    """The stage of that name. Raises StageError, which suggests the nearest name."""
    by_name = {stage.name: stage for stage in stages}
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(by_name)}"
        raise StageError(f"{name}: unknown stage; {hint}", "rxt stage list")
    return by_name[name]


def _blockers(stage: Stage, upstream: Mapping[str, StageStatus]) -> tuple[str, ...]:
    """The first stages up the graph that are not complete although their inputs are."""
    names: dict[str, None] = {}
    for source in stage.inputs.values():
        status = upstream[source.name]
        if not status.is_complete:
            names.update(dict.fromkeys(status.waits_for or (source.name,)))
    return tuple(names)


def _without_attempt(stage: Stage, store: ArtifactStore, identity: dict[str, Any]) -> StageStatus:
    manifests, closed = [], ""
    for attempt in store.attempts(stage.name):
        try:
            manifests.append(store.manifest(attempt))
        except OtherSchema:  # nothing of this plan asks for it
            continue
        except AttemptClosed as error:  # nor for this one, but who made it may not know that it is closed
            closed = str(error)
    manifests = [manifest for manifest in manifests if manifest is not None]
    if not manifests:
        return StageStatus(stage, "missing", closed, **identity)
    newest = max(manifests, key=lambda manifest: manifest["finished"])
    changes = tuple(diff(newest["payload"], identity["payload"]))
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    reason = changes[0] + more + (f"; {closed}" if closed else "")
    return StageStatus(stage, "stale", reason, changes=changes, **identity)


def _with_attempt(stage: Stage, store: ArtifactStore, attempt: Attempt, identity: dict[str, Any]) -> StageStatus:
    def status(state: State, reason: str = "", manifest: Mapping[str, Any] | None = None) -> StageStatus:
        return StageStatus(stage, state, reason, attempt=attempt, manifest=manifest, **identity)

    names = store.names(attempt)
    if MANIFEST in names and (manifest := store.manifest(attempt)) is not None:
        files = changed_files(manifest["provenance"]["code"], code_digest(stage.function))
        return status("complete", f"code changed since: {_few(files)}" if files else "", manifest)
    holder = holder_of(store, attempt)
    if holder is not None and holder.looks_alive(DEFAULT_TIMES):
        return status("running", f"written by {holder}")
    if FAILURE in names:
        return status("failed", f"{FAILURE} is damaged")
    return status("interrupted", "rxt run goes on where it was")


def _with_failure(
    status: StageStatus, attempt: Attempt, upstream: Mapping[str, StageStatus], store: ArtifactStore
) -> StageStatus:
    failure = store.read_note(attempt, FAILURE)
    if failure is None:
        return status
    # a deterministic stage made again has the same content, so that the failed attempt is still the one to go on with
    again = upstream.get(failure["rerun"])
    is_done = again is not None and again.is_complete and again.made.manifest["finished"] > failure["time"]
    return replace(status, reason=summary(failure).partition("\n")[0], failure=None if is_done else failure)


def _way_back(store: ArtifactStore, attempt: Attempt) -> WayBack | None:
    discards = []
    with suppress(AttemptClosed):  # nobody knows whether that one is complete
        for other in reversed([a for a in store.attempts(attempt.stage) if a.short == attempt.short]):
            if MANIFEST in store.names(other):
                return WayBack(other, tuple(discards))
            discards.append(other)
    return None


def _few(files: list[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
