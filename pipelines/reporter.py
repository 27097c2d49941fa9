"""Takes what a running stage reports. It shows it to the user, appends it to metrics.jsonl, and hands it to the
tracker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from jobs.stage.context import Remedy
from pipelines.artifacts import LOG, METRICS, ArtifactStore, Attempt, StoreError
from pipelines.invocation import Invocation
from pipelines.tracking import Point

SECONDS_BETWEEN_REWRITES = 20.0


class ProgressBoard(Protocol):
    """The part of `display.Board` that a stage reaches."""

    def progress(self, stage: str, done: int, total: int, note: str) -> None: ...

    def line(self, text: str) -> None: ...


class Sink(Protocol):
    """The part of `feed.StageFeed` that a stage reaches."""

    def add(self, points: list[Point]) -> None: ...

    def file(self, path: str, folder: str) -> None: ...


class StageReporter:
    """Implements `jobs.stage.context.Reporter`; stage functions may call it from several threads."""

    def __init__(
        self, store: ArtifactStore, attempt: Attempt, board: ProgressBoard, sink: Sink, invocation: Invocation
    ) -> None:
        self._store, self._attempt, self._board, self._sink = store, attempt, board, sink
        self._invocation = invocation
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._written = 0.0
        self.step: int | None = None
        self.last: dict[str, float] = {}  # the newest value of each name

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time()
        line = json.dumps({"time": now, "step": step, "values": {k: float(v) for k, v in values.items()}})
        with self._lock:
            self.step = step
            self.last |= values
            self._lines.append(line + "\n")
            if self._store.is_local or time.monotonic() - self._written > SECONDS_BETWEEN_REWRITES:
                try:
                    self._write()
                except StoreError:  # for a moment, perhaps: the lines wait, and `close` tells if it stays away
                    self._written = time.monotonic()
            self._sink.add(_points(json.loads(line)))

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._board.progress(self._attempt.stage, done, total, note)

    def message(self, text: str, remedy: Remedy = "") -> None:
        stage = self._attempt.stage
        following = f": {self._invocation.next(remedy, stage)}" if remedy else ""
        self._board.line(f"{stage}: {text}{following}")
        self.log(f"{text}{following}")

    def file(self, path: str, folder: str = "") -> None:
        self._sink.file(path, folder)

    def log(self, text: str) -> None:
        """Adds to what `rxt logs` shows. A store that is away is told of where it is needed."""
        with self._lock, suppress(StoreError):
            self._store.append(self._attempt, LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def close(self) -> None:
        """Writes what an object store has not received yet."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        if self._lines:
            self._store.append(self._attempt, METRICS, "".join(self._lines))
            self._lines.clear()
            self._written = time.monotonic()


def read_points(text: str) -> list[Point]:
    """The points of a metrics.jsonl. A line that a killed process left unfinished does not count."""
    points = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        points += _points(record)
    return points


def _points(record: Mapping) -> list[Point]:
    return [(name, value, record["step"], int(record["time"] * 1000)) for name, value in record["values"].items()]
