"""A lease is the right to write one attempt. The highest `lease-N.json` holds it, and a heartbeat shows that its holder
is alive.

Clocks of different machines disagree, and any of them may be set. So a holder on another machine is judged by what the
observer sees: it has lost the lease if its record did not change for `expiry` seconds. On the same machine we look at
the process itself, and at the monotonic time of its last heartbeat.

The number N is a fencing token. Whoever ends lease N, its holder by a commit or the next holder by taking over, first
creates `fence-N.json`, and only one of them can. So a holder that was frozen and thawed never commits over its
successor.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import time
import uuid
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
_NAME = re.compile(r"^lease-(\d{6})\.json$")


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

    @property
    def has_ended(self) -> bool:
        """Whether it gave the lease back, or is gone from this machine."""
        return self.record["released"] or self.is_gone

    def is_seen_alive(self, times: LeaseTimes) -> bool:
        """Whether it lives on this machine and shows heartbeats."""
        return not self.has_ended and self.is_local and self._silence() < times.expiry

    def looks_alive(self, times: LeaseTimes) -> bool:
        """A quick guess, for display alone: it trusts the wall clock for a holder on another machine."""
        if self.has_ended:
            return False
        if self.is_local:
            return self._silence() < times.expiry
        return abs(time.time() - self.record["time"]) < times.expiry

    def _silence(self) -> float:
        """Seconds since the last heartbeat of a holder on this machine."""
        return time.monotonic() - self.record.get("monotonic", -math.inf)


def holder_of(store: ArtifactStore, attempt: Attempt) -> Holder | None:
    """Who took the newest lease of an attempt, dead or alive. None if nobody ever did."""
    numbers = _numbers(store, attempt)
    if not numbers:
        return None
    record = store.read_note(attempt, _name(numbers[-1]))
    # a holder that lives would write its record again, and finds that it lost the lease if somebody else came first
    return Holder(numbers[-1], record or {"released": True})


def living_holder(
    store: ArtifactStore, attempt: Attempt, say: Callable[[str], None], times: LeaseTimes = DEFAULT_TIMES
) -> Holder | None:
    """Who writes an attempt now, None if nobody does. A holder that cannot be seen is watched until its lease would run
    out."""
    holder = holder_of(store, attempt)
    if holder is None or holder.has_ended:
        return None
    try:
        _outlive(store, attempt, holder, say, lambda: False, times)
    except LeaseHeld:
        return holder
    return None


class Lease:
    """Held from `take` to `release`. `lost` says why the attempt may not be written any more, None while it may."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, number: int, record: dict, times: LeaseTimes) -> None:
        self._store, self._attempt, self._number, self._record = store, attempt, number, record
        self._times, self._since = times, time.monotonic()
        self._released = threading.Event()
        self._asked: float | None = None  # when the heartbeat began that the store has not answered yet
        self._lost: StageError | None = None
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> StageError | None:
        asked, patience = self._asked, self._times.expiry - self._times.heartbeat
        if self._lost is None and asked is not None and time.monotonic() - asked > patience:
            self._lost = StoreError(
                f"store {self._store.shown} has not answered for {patience:g} s: another process may write "
                f"{self._attempt.stage} {self._attempt.artifact_id} now",
                Look(),
            )
        return self._lost

    def is_ours(self) -> bool:
        """Whether our number is still the highest in the store. Raises StoreError if the store does not answer."""
        if self.lost is None and _numbers(self._store, self._attempt)[-1:] != [self._number]:
            self._lost = LeaseHeld(self._attempt, holder_of(self._store, self._attempt))
        return self.lost is None

    def earlier_seconds(self) -> float:
        """How long all earlier holders had the attempt, each until its last heartbeat."""
        numbers = [number for number in _numbers(self._store, self._attempt) if number < self._number]
        records = [self._store.read_note(self._attempt, _name(number)) or {} for number in numbers]
        return sum(record.get("seconds", 0.0) for record in records)

    def commit(self, manifest: dict[str, Any]) -> None:
        """Makes the attempt complete. Refuses if the lease was lost meanwhile."""
        if not self.is_ours() and self.lost is not None:
            raise self.lost
        if not _fence(self._store, self._attempt, self._number, manifest):
            self._lost = LeaseHeld(self._attempt, holder_of(self._store, self._attempt))
            raise self._lost
        self._store.commit(self._attempt, manifest)  # a process that took us for dead may have done it for us
        self._store.remove(self._attempt, _fence_name(self._number))

    def release(self) -> None:
        """Frees the attempt at once for the next writer. If the store does not answer, the lease expires by itself."""
        self._released.set()
        if self.lost is None:
            self._thread.join()
            with contextlib.suppress(StoreError):
                if self.is_ours():  # else somebody took it, or the attempt was discarded
                    self._give_back()

    def _give_back(self) -> None:
        try:
            self._write(released=True)
        except StoreError:  # what cannot be written on a full disk can be removed
            self._store.remove(self._attempt, _name(self._number))

    def _beat(self) -> None:
        beaten = time.monotonic()
        while not self._released.wait(self._times.heartbeat):
            self._asked = time.monotonic()
            try:
                if not self.is_ours():
                    return
                self._write(released=False)
                beaten = time.monotonic()
            except StoreError as error:  # it may come back before the lease expires
                if time.monotonic() - beaten > self._times.expiry:  # by now, somebody else may write
                    self._lost = error
                    return
            self._asked = None

    def _write(self, released: bool) -> None:
        now = time.monotonic()
        beat = {"beat": self._record["beat"] + 1, "time": time.time(), "monotonic": now, "seconds": now - self._since}
        self._record |= beat | {"released": released}
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
            if _outlive(store, attempt, holder, say, should_stop, times):
                _take_over(store, attempt, holder)
        number = 1 + (holder.number if holder else 0)
        record = processes.this_process() | {
            "id": uuid.uuid4().hex,
            "job": os.environ.get("RXT_JOB", ""),
            "beat": 0,
            "time": time.time(),
            "monotonic": time.monotonic(),
            "seconds": 0.0,
            "released": False,
        }
        if _create(store, attempt, _name(number), record):
            return Lease(store, attempt, number, record, times)


def _outlive(
    store: ArtifactStore,
    attempt: Attempt,
    holder: Holder,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    times: LeaseTimes,
) -> bool:
    """Returns once the holder is surely gone; False if it gave the lease back. Raises LeaseHeld as soon as it shows
    life."""
    if holder.is_seen_alive(times):
        raise LeaseHeld(attempt, holder)
    if holder.is_local and not holder.is_gone:
        say(f"{holder} has not shown a heartbeat for {times.expiry:g} s: its lease has run out")
        return True
    wait = times.grace if holder.is_local else times.expiry
    reason = "is gone" if holder.is_local else "cannot be seen from here"
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + wait))
    say(f"{holder} {reason}: its lease runs out at {until}, in {wait:g} s, unless it shows a heartbeat")
    since = time.monotonic()
    while time.monotonic() - since < wait:
        if should_stop():
            raise Interrupted("stopped while waiting for a lease")
        time.sleep(times.poll)
        now = holder_of(store, attempt)
        if now != holder:
            if now is None or now.record["released"]:
                return False
            raise LeaseHeld(attempt, now)
    return True


def _take_over(store: ArtifactStore, attempt: Attempt, holder: Holder) -> None:
    """Ends the lease of a holder that shows no life. If it had decided to commit, that is done in its place."""
    if not _fence(store, attempt, holder.number, None):
        decided = (store.read_json(attempt, _fence_name(holder.number)) or {}).get("manifest")
        if decided is not None:
            store.commit(attempt, decided)


def _fence(store: ArtifactStore, attempt: Attempt, number: int, manifest: dict[str, Any] | None) -> bool:
    """Whether the caller is the one who ends this lease: with a manifest to commit, or None to take over."""
    return _create(store, attempt, _fence_name(number), {"id": uuid.uuid4().hex, "manifest": manifest})


def _create(store: ArtifactStore, attempt: Attempt, name: str, record: dict[str, Any]) -> bool:
    """Creates a record that has an id of its own. Of an answer that got lost on its way an object store's client learns
    only that the record exists, after it has asked again."""
    if store.create_json(attempt, name, record):
        return True
    return (store.read_note(attempt, name) or {}).get("id") == record["id"]


def _name(number: int) -> str:
    return f"lease-{number:06d}.json"


def _fence_name(number: int) -> str:
    return f"fence-{number:06d}.json"


def _numbers(store: ArtifactStore, attempt: Attempt) -> list[int]:
    return sorted(int(match[1]) for match in map(_NAME.match, store.names(attempt)) if match)
