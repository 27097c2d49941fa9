"""Measures how much memory a run takes: of this process and all its descendants, Ray's among them."""

from __future__ import annotations

import threading
import time

import psutil

SAMPLE_SECONDS = 3  # between two samples, at least
SAMPLING_SHARE = 0.02  # of a core, at most: to tell shared pages apart, the system walks all pages of a process


class PeakMemory(threading.Thread):
    """A context. `bytes` is the largest sum seen so far. On a cluster it knows this machine alone."""

    def __init__(self) -> None:
        super().__init__(name="peak-memory", daemon=True)
        self.bytes = 0
        self._left = threading.Event()

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self.join()

    def run(self) -> None:
        last = False
        while not last:
            before = time.thread_time()
            self.bytes = max(self.bytes, tree_bytes())
            spent = time.thread_time() - before
            last = self._left.wait(max(SAMPLE_SECONDS, spent / SAMPLING_SHARE))


def tree_bytes() -> int:
    """The memory of this process and its descendants. Shared pages (Ray's object store, libraries) count once where the
    system tells them apart (PSS, on Linux), else once in each process (RSS)."""
    this = psutil.Process()
    return sum(_bytes(process) for process in (this, *this.children(recursive=True)))


def _bytes(process: psutil.Process) -> int:
    try:
        held = process.memory_full_info()
    except psutil.Error:  # it ended meanwhile, or belongs to somebody else
        return 0
    return getattr(held, "pss", held.rss)
