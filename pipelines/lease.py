"""A lease is the right to write one attempt. The highest `lease-N.json` holds it, and a heartbeat shows that its holder
is alive.

Clocks of different machines disagree. So a holder on another machine is judged by the clock of the observer: it has
lost the lease if its record did not change for `expiry` seconds. On the same machine we look at the process itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.stage.context import Interrupted, Look, StageError
from pipelines import processes
from pipelines.artifacts import ArtifactStore, Attempt, StoreError


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. `heartbeat`: between two heartbeats. `expiry`: without a heartbeat until the lease is free. `grace`:
    after a holder on this machine died, since its workers write on for a moment. `poll`: between two looks."""

    heartbeat: float = 30.0
    expiry: float = 90.0
    grace: float = 5.0
    poll: float = 0.5


DEFAULT_TIMES = LeaseTimes()
KEYS = {"host", "processes", "pid", "started", "job", "beat", "time", "released"}  # of a record, at least


class LeaseHeld(StageError):
    """Another process writes this attempt."""

    def __init__(self, attempt: Attempt, holder: Holder | None) -> None:
        who = holder or "another process"
        super().__init__(f"{attempt.stage} {attempt.artifact_id} is being written by {who}", Look())


@dataclass(frozen=True)
class Holder:
    """Who took the newest lease of an attempt, by the record of that lease."""

    number: int
    record: dict[str, Any]

    def __str__(self) -> str:
        if "pid" not in self.record:
            return "whoever damaged its lease"
        job = f", job {self.record['job']}" if self.record["job"] else ""
        return f"pid {self.record['pid']} on {self.record['host']}{job}"

    @property
    def is_local(self) -> bool:
        return processes.is_local(self.record)

    @property
    def is_gone(self) -> bool:
        return processes.is_gone(self.record)

    def looks_alive(self, times: LeaseTimes) -> bool:
        """A quick guess, for display. It is exact on this machine; for others it trusts the wall clock."""
        if self.record["released"] or self.is_gone:
            return False
        return abs(time.time() - self.record["time"]) < times.expiry


def holder_of(store: ArtifactStore, attempt: Attempt) -> Holder | None:
    """Who took the newest lease of an attempt, dead or alive. None if nobody ever did."""
    numbers = _numbers(store, attempt)
    if not numbers:
        return None
    record = store.read_note(attempt, _name(numbers[-1]))
    # a holder that lives would write its record again, and finds that it lost the lease if somebody else came first
    return Holder(numbers[-1], record if record and record.keys() >= KEYS else {"released": True})


class Lease:
    """Held from `take` to `release`. `lost` says why the attempt may not be written any more, None while it may."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, number: int, record: dict, times: LeaseTimes) -> None:
        self._store, self._attempt, self._number, self._record = store, attempt, number, record
        self._released = threading.Event()
        self.lost: StageError | None = None
        self._thread = threading.Thread(target=self._beat, args=(times,), name="lease", daemon=True)
        self._thread.start()

    def is_ours(self) -> bool:
        """Whether our number is still the highest in the store. Raises StoreError if the store does not answer."""
        if self.lost is None and _numbers(self._store, self._attempt)[-1:] != [self._number]:
            self.lost = LeaseHeld(self._attempt, holder_of(self._store, self._attempt))
        return self.lost is None

    def earlier_seconds(self) -> float:
        """How long all earlier holders had the attempt, each until its last heartbeat."""
        numbers = [number for number in _numbers(self._store, self._attempt) if number < self._number]
        records = [self._store.read_note(self._attempt, _name(number)) or {} for number in numbers]
        return sum(max(0.0, r["time"] - r["since"]) for r in records if {"time", "since"} <= r.keys())

    def commit(self, manifest: dict[str, Any]) -> None:
        """Makes the attempt complete. Refuses if the lease was lost meanwhile."""
        if not self.is_ours() and self.lost is not None:
            raise self.lost
        if not self._store.commit(self._attempt, manifest):
            raise StageError(
                f"{self._attempt.stage} {self._attempt.artifact_id} was completed by another process", Look()
            )

    def release(self) -> None:
        """Frees the attempt at once for the next writer. If the store does not answer, the lease expires by itself."""
        self._released.set()
        self._thread.join()
        if self.lost is None:
            with contextlib.suppress(StoreError):
                self._write(released=True)

    def _beat(self, times: LeaseTimes) -> None:
        beaten = time.monotonic()
        while not self._released.wait(times.heartbeat):
            try:
                if not self.is_ours():
                    return
                self._write(released=False)
                beaten = time.monotonic()
            except StoreError as error:  # it may come back before the lease expires
                if time.monotonic() - beaten > times.expiry:  # by now, somebody else may write
                    self.lost = error
                    return

    def _write(self, released: bool) -> None:
        self._record |= {"beat": self._record["beat"] + 1, "time": time.time(), "released": released}
        self._store.write_json(self._attempt, _name(self._number), self._record)


def take(
    store: ArtifactStore,
    attempt: Attempt,
    say: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
    times: LeaseTimes = DEFAULT_TIMES,
) -> Lease:
    """Becomes the writer. Waits for a holder that may be dead. Raises LeaseHeld if the holder lives."""
    while True:
        holder = holder_of(store, attempt)
        if holder is not None and not holder.record["released"]:
            _outlive(store, attempt, holder, say, should_stop, times)
        number = 1 + (holder.number if holder else 0)
        now = time.time()
        record = processes.this_process() | {
            "job": os.environ.get("RXT_JOB", ""),
            "beat": 0,
            "since": now,
            "time": now,
            "released": False,
        }
        if store.create_json(attempt, _name(number), record):
            return Lease(store, attempt, number, record, times)


def _outlive(
    store: ArtifactStore,
    attempt: Attempt,
    holder: Holder,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    times: LeaseTimes,
) -> None:
    """Returns once the holder is surely gone. Raises LeaseHeld as soon as it shows life."""
    if holder.is_local and holder.looks_alive(times):
        raise LeaseHeld(attempt, holder)
    if holder.is_local and not holder.is_gone:
        say(f"{holder} has not shown a heartbeat for {times.expiry:g} s: taking over")
        return
    wait = times.grace if holder.is_gone else times.expiry
    reason = "is gone" if holder.is_gone else "cannot be seen from here"
    say(f"{holder} {reason}: taking over in {wait:g} s unless it shows a heartbeat")
    since = time.monotonic()
    while time.monotonic() - since < wait:
        if should_stop():
            raise Interrupted("stopped while waiting for a lease")
        time.sleep(times.poll)
        now = holder_of(store, attempt)
        if now != holder:
            if now is None or now.record["released"]:
                return
            raise LeaseHeld(attempt, now)


def _name(number: int) -> str:
    return f"lease-{number:06d}.json"


def _numbers(store: ArtifactStore, attempt: Attempt) -> list[int]:
    names = [name for name in store.names(attempt) if name.startswith("lease-")]
    return sorted(int(name.removeprefix("lease-").removesuffix(".json")) for name in names)
