"""Sends what a stage reports to the tracker: in batches, from a thread of its own, and later if the tracker is away."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts import MANIFEST, METRICS, RUN, ArtifactStore, Attempt, StoreError
from pipelines.fingerprint import flatten
from pipelines.reporter import read_points
from pipelines.tracker.errors import TrackingError
from pipelines.tracking import Point, Tracking

SECONDS_BETWEEN_BATCHES = 2.0
_NO_RECORD = {"mlflow_run_id": None, "unsent": 0, "files": []}


class StageFeed:
    """Sends the points of one attempt to its run in the tracker. While the tracker is away the points wait. At the end
    run.json records how many still wait, and a later command sends them (`catch_up`). The number is null until then,
    and null if anything else was missed. Null means that all points are sent again; MLflow keeps one of each."""

    def __init__(
        self,
        store: ArtifactStore,
        attempt: Attempt,
        tracking: Tracking,
        start: Callable[[str | None], str],
        warn: Callable[[str], None],
    ) -> None:
        """`start` opens the run in the tracker. It is given the id of the interrupted run that it should continue."""
        self._store, self._attempt, self._tracking, self._start, self._warn = store, attempt, tracking, start, warn
        record = _record_of(store, attempt)
        self._earlier: str | None = record["mlflow_run_id"]
        self._sent, self._waiting = _points(store, attempt, record["unsent"])
        self._files = dict.fromkeys(record["files"])
        self._missed = False
        self.run_id: str | None = None
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._warned = False
        self._record(None)
        self._reach(self._open)
        self._thread = threading.Thread(target=self._loop, name="feed", daemon=True)
        self._thread.start()

    def add(self, points: list[Point]) -> None:
        with self._lock:
            self._waiting += points

    def file(self, path: str, folder: str) -> None:
        """Sends a file at once, as it may be temporary. If the tracker misses it, it is sent later from the artifact's
        folder, where it has the same name."""
        with self._lock:
            self._files[str(Path(folder) / Path(path).name)] = None
        if self.run_id is None or not self._reach(lambda: self._tracking.log_file(self.run_id, path, folder)):
            self._missed = True

    def record(self, name: str, value: dict[str, Any]) -> None:
        """Shows a record of the attempt (manifest, failure) beside its curves."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                path.write_text(json.dumps(value, indent=2))
                self.file(str(path), "")
        except OSError as error:  # the disk is full
            self._missed = True
            self._warn(f"{name} cannot be sent to MLflow: {error}")

    def flush(self) -> str | None:
        """Sends what waits. Returns the run's id if the tracker has one."""
        self._send()
        return self.run_id

    def close(self, status: str) -> None:
        """`status`: FINISHED, FAILED or KILLED."""
        self._closed.set()
        self._thread.join()
        if self.run_id is None:
            self._send()
        # tried even soon after a failure, after which sending would wait
        if self.run_id is None or not self._reach(lambda: self._tracking.end_stage(self.run_id, status)):
            self._missed = True
        self._send()
        if self._waiting or self._missed:
            self._warn("not all of it is in MLflow yet; the next run that builds something sends the rest")
        self._record(None if self._missed else len(self._waiting))

    def abandon(self) -> None:
        """Leaves the records and the run alone, since another process goes on with the attempt."""
        self._closed.set()
        self._thread.join()
        if self.run_id is not None:
            self._tracking.leave_stage(self.run_id)

    def _loop(self) -> None:
        while not self._closed.wait(SECONDS_BETWEEN_BATCHES):
            self._send()

    def _send(self) -> None:
        with self._sending:
            if self.run_id is None:
                self._reach(self._open)
            with self._lock:
                points = list(self._waiting)
            if points and self.run_id is not None:
                if self._reach(lambda: self._tracking.log_metrics(self.run_id, points)):
                    with self._lock:
                        del self._waiting[: len(points)]

    def _open(self) -> None:
        self.run_id = self._start(self._earlier)
        if self.run_id != self._earlier:  # there was none, or it is gone with its database
            with self._lock:
                self._waiting[:0] = self._sent
        self._sent = []
        self._record(None)

    def _record(self, unsent: int | None) -> None:
        with self._lock:
            record = {"mlflow_run_id": self.run_id or self._earlier, "unsent": unsent, "files": list(self._files)}
        try:
            self._store.write_json(self._attempt, RUN, record)
        except StoreError as error:  # what is there makes a later command send more than it needs to
            self._warn(str(error))

    def _reach(self, action: Callable[[], Any]) -> bool:
        try:
            action()
        except TrackingError as error:
            if not self._warned:
                self._warn(f"{error}; the run goes on, its numbers wait in {METRICS}")
                self._warned = True
            return False
        if self._warned:
            self._warn("MLflow answers again")
            self._warned = False
        return True


def open_run(
    tracking: Tracking,
    parent: str,
    uri: str,
    artifact: Mapping[str, Any],
    run_id: str | None = None,
    sampled: bool = True,
) -> str:
    """Opens the tracker's run of an artifact at `uri`, below the run `parent`. It continues `run_id`, which an
    interrupted attempt began, if that is given. `artifact` is the manifest, or the part of it that is known from the
    start."""
    return tracking.start_stage(
        parent,
        artifact["stage"],
        artifact["artifact_id"],
        uri,
        artifact["fingerprint"],
        artifact["attempt"],
        dict(flatten(artifact["payload"]["config"])),
        {name: (source["artifact_id"], source["content_digest"]) for name, source in artifact["inputs"].items()},
        run_id=run_id,
        sampled=sampled,
    )


def catch_up(
    store: ArtifactStore, attempt: Attempt, manifest: Mapping[str, Any], tracking: Tracking, parent: str
) -> tuple[str, int]:
    """Sends what an earlier command could not send of a complete attempt. Begins a new run below `parent` if the
    attempt has none or its run is gone. Returns the run's id and the number of points sent. Raises TrackingError."""
    record = _record_of(store, attempt)
    run_id = record["mlflow_run_id"]
    if run_id is not None and record["unsent"] == 0:
        return run_id, 0
    sent, points = _points(store, attempt, record["unsent"])
    if run_id is None or not tracking.has_run(run_id):
        run_id = open_run(tracking, parent, store.uri(attempt), manifest, sampled=False)
        record |= {"mlflow_run_id": run_id, "unsent": None}
        store.write_json(attempt, RUN, record)
        points = sent + points
    tracking.log_metrics(run_id, points)
    with tempfile.TemporaryDirectory() as folder:
        for name in {MANIFEST: None} | dict.fromkeys(record["files"]):
            if (path := store.fetch(attempt, name, folder)) is not None:
                tracking.log_file(run_id, path, name.rpartition("/")[0])
    tracking.end_stage(run_id, "FINISHED")
    store.write_json(attempt, RUN, record | {"unsent": 0})
    return run_id, len(points)


def _record_of(store: ArtifactStore, attempt: Attempt) -> dict[str, Any]:
    return _NO_RECORD | (store.read_note(attempt, RUN) or {})


def _points(store: ArtifactStore, attempt: Attempt, unsent: int | None) -> tuple[list[Point], list[Point]]:
    """The points that the tracker has, and the last `unsent`, which it has not. None means all."""
    points = read_points(store.read_text(attempt, METRICS) or "")
    sent = 0 if unsent is None else max(0, len(points) - unsent)
    return points[:sent], points[sent:]
