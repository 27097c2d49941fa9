"""Samples the machine's load as curves of a run, in a small thread. MLflow's own monitor needs its fluent API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import psutil

from jobs.stage.context import StageError
from pipelines.tracker.gpu_metrics import gpu_sampler

SAMPLE_SECONDS = 5


class SystemMetrics(threading.Thread):
    """A sample every few seconds and one at the end, handed to `log` as (name, value, step, milliseconds).

    Names are those that MLflow's page shows as system metrics. A step is a second since the run began
    (`started_ms`), so that a resumed run continues its curves. Samples that `log` refuses wait for the next one.
    """

    def __init__(self, started_ms: int, log: Callable[[Sequence[tuple[str, float, int, int]]], None]) -> None:
        super().__init__(name="system-metrics", daemon=True)
        self._started_ms = started_ms
        self._log = log
        self._stopped = threading.Event()
        self._waiting: list[tuple[str, float, int, int]] = []

    def run(self) -> None:
        psutil.cpu_percent()  # measures from one call to the next
        self._gpus = gpu_sampler()
        last = False
        while not last:
            last = self._stopped.wait(SAMPLE_SECONDS)
            self._sample()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _sample(self) -> None:
        now = time.time_ns() // 1_000_000
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        values = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_megabytes": disk.used / 1e6,
            "disk_usage_percentage": disk.percent,
            **self._gpus(),
        }
        step = (now - self._started_ms) // 1000
        self._waiting += [(f"system/{name}", value, step, now) for name, value in values.items()]
        try:
            self._log(self._waiting)
        except StageError:
            return  # the tracker is away; whoever reports the stage's own metrics tells the user
        self._waiting = []
