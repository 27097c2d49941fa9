"""Finds runs in MLflow whose process is no more, without any clock that could be set.

A living `rxt run` counts up a tag of its parent run. A process on this machine is looked up. One elsewhere counts as
lost if its tag stood still from one look to a later one; what was seen, and when by this machine's monotonic clock, is
kept in another tag, since a run may be shorter than the time between the two looks.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jobs.stage.context import StageError
from pipelines.processes import is_gone, is_local, this_process

PROCESS = "rxt.process"  # tag of a parent run: who drives it
HEARTBEAT = "rxt.heartbeat"  # tag of a parent run: counts up while its process lives
SEEN = "rxt.seen"  # tag of a parent run: what another process saw, and when
BEAT_SECONDS, LOST_SECONDS = 10.0, 40.0


class Heartbeat(threading.Thread):
    """Calls `beat` with 1, 2, 3 … until `stop`. A StageError of it is no matter, since the next one may come
    through."""

    def __init__(self, beat: Callable[[int], None]) -> None:
        super().__init__(name="mlflow-heartbeat", daemon=True)
        self._beat = beat
        self._stopped = threading.Event()

    def run(self) -> None:
        count = 0
        while not self._stopped.wait(BEAT_SECONDS):
            count += 1
            try:
                self._beat(count)
            except StageError:
                continue

    def stop(self) -> None:
        self._stopped.set()


def lost_parents(running: Iterable[Any], note: Callable[[str, str, str], object]) -> set[str]:
    """The ids of parent runs among `running` whose process is gone or lost. `note(run_id, key, value)` sets a tag."""
    here, now = this_process()["processes"], time.monotonic()
    lost = set()
    for run in running:
        process = _record(run.data.tags.get(PROCESS))
        if not {"processes", "pid", "started"} <= process.keys():
            continue
        if is_local(process):
            if is_gone(process):
                lost.add(run.info.run_id)
            continue
        seen, beat = _record(run.data.tags.get(SEEN)), run.data.tags.get(HEARTBEAT, "")
        if (seen.get("processes"), seen.get("beat")) != (here, beat):
            note(run.info.run_id, SEEN, json.dumps({"processes": here, "beat": beat, "monotonic": now}))
        elif now - seen.get("monotonic", now) > LOST_SECONDS:
            lost.add(run.info.run_id)
    return lost


def _record(text: str | None) -> Mapping[str, Any]:
    try:
        record = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}
