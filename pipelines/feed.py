"""What a stage reports, on its way to the tracker: batched, in a thread of its own, and patient when that is gone."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.artifacts import METRICS, RUN, ArtifactStore, Attempt
from pipelines.reporter import read_points
from pipelines.tracking import Point, Tracking, TrackingError

SECONDS_BETWEEN_BATCHES = 2.0


class StageFeed:
    """Sends one attempt's points to its tracker run. While the tracker is away the points wait; how many still wait at
    the end is recorded in run.json, and a later command sends them (`catch_up`). Until then that number is null: if
    the process is killed, all points are sent again, and MLflow keeps one of each."""

    def __init__(
        self,
        store: ArtifactStore,
        attempt: Attempt,
        tracking: Tracking,
        start: Callable[[str | None], str],
        warn: Callable[[str], None],
    ) -> None:
        """`start` opens the tracker run, given the id of the interrupted one it should continue."""
        self._store, self._attempt, self._tracking, self._start, self._warn = store, attempt, tracking, start, warn
        record = store.read_json(attempt, RUN) or {"mlflow_run_id": None, "unsent": 0}
        self._earlier = record["mlflow_run_id"]
        self._waiting: list[Point] = _unsent(store, attempt, record["unsent"])
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
        """At once, as the file may be temporary."""
        if self.run_id is not None:
            self._reach(lambda: self._tracking.log_file(self.run_id, path, folder))

    def record(self, name: str, value: dict[str, Any]) -> None:
        """Show a record of the attempt (manifest, failure) beside its curves."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text(json.dumps(value, indent=2))
            self.file(str(path), "")

    def flush(self) -> str | None:
        """Send what waits; the run's id if the tracker has one."""
        self._send()
        return self.run_id

    def close(self, status: str) -> None:
        """`status`: FINISHED, FAILED or KILLED."""
        self._closed.set()
        self._thread.join()
        if self.run_id is not None:  # tried even soon after a failure, after which sending would wait
            self._reach(lambda: self._tracking.end_stage(self.run_id, status))
        self._send()
        if self._waiting:
            self._warn(f"{len(self._waiting)} points are not in MLflow yet; metrics.jsonl has them")
        self._record(len(self._waiting))

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
        self._record(None)

    def _record(self, unsent: int | None) -> None:
        known = self.run_id or self._earlier
        self._store.write_json(self._attempt, RUN, {"mlflow_run_id": known, "unsent": unsent})

    def _reach(self, action: Callable[[], Any]) -> bool:
        try:
            action()
        except TrackingError as error:
            if not self._warned:
                self._warn(f"{error}; the run goes on, its numbers wait in metrics.jsonl")
                self._warned = True
            return False
        if self._warned:
            self._warn("MLflow answers again")
            self._warned = False
        return True


def catch_up(store: ArtifactStore, attempt: Attempt, tracking: Tracking) -> int:
    """Send what an earlier command could not; the number of points sent. Raises TrackingError."""
    record = store.read_json(attempt, RUN)
    if record is None or record["unsent"] == 0 or record["mlflow_run_id"] is None:
        return 0
    points = _unsent(store, attempt, record["unsent"])
    tracking.log_metrics(record["mlflow_run_id"], points)
    tracking.end_stage(record["mlflow_run_id"], "FINISHED")
    store.write_json(attempt, RUN, record | {"unsent": 0})
    return len(points)


def _unsent(store: ArtifactStore, attempt: Attempt, count: int | None) -> list[Point]:
    """The last `count` points; all of them for None."""
    if count == 0:
        return []
    points = read_points(store.read_text(attempt, METRICS) or "")
    return points if count is None else points[len(points) - count :]
