"""The wire between rank 0 of a training run and the driver: what happens goes up, the wish to stop comes down."""

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
    """Actor on the driver's node. Events wait here until the driver drains them."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stop = False

    def push(self, events: list[Event]) -> bool:
        """Add events; returns whether the user wants to stop."""
        self._events += events
        return self._stop

    def drain(self, stop: bool) -> list[Event]:
        """The events since the last call; `stop` is passed on to the worker."""
        self._stop = self._stop or stop
        events, self._events = self._events, []
        return events


def start_monitor() -> ActorHandle:
    """Start the monitor on the driver's node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Monitor).options(scheduling_strategy=here).remote()


class Channel:
    """Rank 0's end. Calls do not wait for the driver, except `close`.

    The first three methods are those of `jobs.stage.context.Reporter`; the driver calls the reporter's method of that
    name.
    """

    def __init__(self, monitor: ActorHandle) -> None:
        self._monitor = monitor
        self._stop = False
        self._asked = monitor.push.remote([])
        self._asked_at = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._monitor.push.remote([("metrics", step, dict(values))])

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._monitor.push.remote([("progress", done, total, note)])

    def message(self, text: str) -> None:
        self._monitor.push.remote([("message", text)])

    def should_stop(self) -> bool:
        """The driver's wish as of about half a second ago; never waits."""
        if ray.wait([self._asked], timeout=0)[0]:
            self._stop = ray.get(self._asked)
            if time.monotonic() - self._asked_at > PING_SECONDS:
                self._asked, self._asked_at = self._monitor.push.remote([]), time.monotonic()
        return self._stop

    def close(self, outcome: Mapping[str, Any]) -> None:
        """Hand over how the run ended, and wait until that is safe."""
        ray.get(self._monitor.push.remote([("outcome", dict(outcome))]))
