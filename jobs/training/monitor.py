"""Connect rank 0 of a training run with the driver: rank 0 sends events, the driver sends the user's wish to stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Event = tuple[Any, ...]

PING_SECONDS = 0.5


class Monitor:
    """An actor on the driver's node. It holds events until the driver drains them."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stop = False

    def push(self, events: list[Event]) -> bool:
        """Add events. Returns whether the user wants to stop."""
        self._events += events
        return self._stop

    def drain(self, stop: bool) -> list[Event]:
        """Return the events since the last call, and pass `stop` on to the worker."""
        self._stop = self._stop or stop
        events, self._events = self._events, []
        return events


def start_monitor() -> ActorHandle:
    """Start a Monitor on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Monitor).options(scheduling_strategy=here).remote()


class Channel:
    """Rank 0's end of the connection. Only `close` waits for the driver.

    For each call of `metrics`, `progress` or `message`, the driver calls the method of the same name of its
    `jobs.stage.context.Reporter`.
    """

    def __init__(self, monitor: ActorHandle) -> None:
        self._monitor = monitor
        self._stop = False
        self._asked = monitor.push.remote([])
        self._asked_at = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Send values to `Reporter.metrics`."""
        self._monitor.push.remote([("metrics", step, dict(values))])

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Send the progress to `Reporter.progress`."""
        self._monitor.push.remote([("progress", done, total, note)])

    def message(self, text: str) -> None:
        """Send a line to `Reporter.message`."""
        self._monitor.push.remote([("message", text)])

    def should_stop(self) -> bool:
        """Whether the user wanted to stop about half a second ago. Never waits."""
        if ray.wait([self._asked], timeout=0)[0]:
            self._stop = ray.get(self._asked)
            if time.monotonic() - self._asked_at > PING_SECONDS:
                self._asked, self._asked_at = self._monitor.push.remote([]), time.monotonic()
        return self._stop

    def close(self, outcome: Mapping[str, Any]) -> None:
        """Send how the run ended, and wait until the monitor has it."""
        ray.get(self._monitor.push.remote([("outcome", dict(outcome))]))
