"""Makes one attempt at one stage: takes the lease, writes the records, calls the stage function, writes the manifest.

It runs on a worker thread of the runner.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.configs.execution import Execution
from jobs.configs.rl import MrlConfig
from jobs.stage import ray_setup
from jobs.stage.context import Interrupted, StageContext, StageError
from jobs.stage.ray_setup import RayUnavailable
from pipelines.artifacts import FAILURE, MANIFEST, RESOLVED, SCHEMA, ArtifactStore, Attempt, StoreError, content_digest
from pipelines.display import Board
from pipelines.failures import failure_record, is_loss_of_process, is_loss_of_ray
from pipelines.feed import StageFeed, open_run
from pipelines.fingerprint import plain
from pipelines.invocation import Invocation
from pipelines.lease import Lease, LeaseTimes, take
from pipelines.planner import StageStatus, artifact_of
from pipelines.provenance import provenance
from pipelines.reporter import StageReporter
from pipelines.tracking import Tracking


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of one run share. `parent` is the run of the whole command in the tracker."""

    store: ArtifactStore
    execution: Execution
    tracking: Tracking
    board: Board
    invocation: Invocation
    parent: str
    stop: threading.Event
    times: LeaseTimes


class StageFailed(RuntimeError):
    """A stage raised an exception. `failure` is the record of it, and `recorded` says whether failure.json holds it,
    for which the store may have no room."""

    def __init__(self, attempt: Attempt, failure: dict[str, Any], recorded: bool) -> None:
        super().__init__(failure["message"])
        self.attempt, self.failure, self.recorded = attempt, failure, recorded


class Build:
    """Makes `status.stage` complete from `upstream`, which are complete. With `fresh` it begins a new attempt, even if
    there is one to go on with."""

    def __init__(
        self, around: Surroundings, status: StageStatus, upstream: Mapping[str, StageStatus], fresh: bool
    ) -> None:
        self.around, self.status, self.stage = around, status, status.stage
        self.inputs = {name: upstream[source.name] for name, source in self.stage.inputs.items()}
        self.fresh = fresh

    def run(self) -> None:
        """Raises Interrupted, StageFailed, or StageError if the attempt could not begin or belongs to another process
        now."""
        store = self.around.store
        attempt = self.status.attempt
        if self.fresh or attempt is None:
            attempt = store.next_attempt(self.stage.name, self.status.fingerprint or "")
        lease = take(store, attempt, self._say, self.around.stop.is_set, self.around.times)
        try:
            if MANIFEST not in store.names(attempt):  # else somebody completed it while we waited
                self._build(attempt, lease)
        finally:
            lease.release()

    def _build(self, attempt: Attempt, lease: Lease) -> None:
        around, store, identity, started = self.around, self.around.store, self._identity(attempt), time.monotonic()
        earlier = lease.earlier_seconds()
        store.remove(attempt, FAILURE)
        store.write_json(attempt, RESOLVED, identity | self._how())
        around.board.started(self.stage.name)
        feed = StageFeed(
            store,
            attempt,
            around.tracking,
            lambda earlier: open_run(around.tracking, around.parent, store.uri(attempt), identity, earlier),
            self._warn,
        )
        reporter = StageReporter(store, attempt, around.board, feed, around.invocation)
        reporter.log(f"began: {around.invocation.command}")
        outcome = "KILLED"
        try:
            manifest = self._make(attempt, reporter, lease) | {
                "mlflow_run_id": feed.flush(),
                "seconds": round(earlier + time.monotonic() - started, 3),
                "finished": time.time(),
            }
            self._compare(attempt, manifest)
            lease.commit(manifest)
            outcome = "FINISHED"
            feed.record(MANIFEST, manifest)
            self._say(f"complete {attempt.artifact_id}   {manifest['result']}")
            reporter.log(f"complete: {manifest['result']}")
        except Exception as error:  # a stage may fail in any way, and every way ends the attempt
            if lost := self._lost(lease):
                raise lost from error
            if isinstance(error, Interrupted):
                reporter.log(f"stopped: {error}")
                raise
            # a signal to all processes of the run ends Ray, too
            if is_loss_of_ray(error) and (around.stop.is_set() or ray_setup.is_lost()):
                reporter.log("stopped: Ray ended")
                raise Interrupted("Ray ended before the stage could save once more") from error
            if isinstance(error, RayUnavailable):  # nothing is wrong with the stage
                reporter.log(f"stopped: {error}")
                raise
            outcome = "FAILED"
            reporter.log(f"failed: {type(error).__name__}")
            raise self._failed(attempt, error, reporter.step, feed) from error
        finally:
            if lease.lost:
                feed.abandon()
            else:
                feed.close(outcome)
            around.board.finished(self.stage.name)

    def _make(self, attempt: Attempt, reporter: StageReporter, lease: Lease) -> dict[str, Any]:
        """Runs the stage function. Returns what the manifest says about its result."""
        try:
            metrics = dict(self._call_until_it_ends(attempt, reporter, lease))
            result = str(metrics.pop("result", ""))
            numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
            numbers = {name: value for name, value in numbers.items() if reporter.last.get(name) != value}
            if numbers:
                reporter.metrics(reporter.step or 0, numbers)
        finally:
            if not self._lost(lease):
                reporter.close()
        outputs = self.around.store.outputs(attempt)
        return self._identity(attempt) | {
            "schema": SCHEMA,
            "outputs": outputs,
            "content_digest": content_digest(outputs),
            "result": result,
            "metrics": metrics,
            "provenance": provenance(self.stage.function),
        }

    def _lost(self, lease: Lease) -> StageError | None:
        """Why the attempt may not be written any more: whoever lost the lease leaves the records to the new holder. A
        store that does not answer tells nothing."""
        with contextlib.suppress(StoreError):
            lease.is_ours()
        return lease.lost

    def _failed(self, attempt: Attempt, error: Exception, step: int | None, feed: StageFeed) -> StageFailed:
        workers = self.around.execution.train.workers
        failure = failure_record(error, self.stage.name, step, workers, self.around.invocation)
        recorded = True
        try:
            self.around.store.write_json(attempt, FAILURE, failure)
        except StoreError as refusal:
            recorded = False
            self._warn(f"{FAILURE} could not be written: {refusal}")
        feed.record(FAILURE, failure)
        return StageFailed(attempt, failure, recorded)

    def _identity(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "artifact_id": attempt.artifact_id,
            "attempt": attempt.number,
            "fingerprint": self.status.fingerprint,
            "payload": self.status.payload,
            "inputs": {
                name: {
                    "stage": up.stage.name,
                    "artifact_id": up.made.attempt.artifact_id,
                    "content_digest": up.made.manifest["content_digest"],
                }
                for name, up in self.inputs.items()
            },
        }

    def _how(self) -> dict[str, Any]:
        invocation = self.around.invocation
        return {
            "preset": invocation.preset,
            "overrides": invocation.overrides,
            "command": invocation.command,
            "execution": plain(self.around.execution),
        }

    def _call_until_it_ends(self, attempt: Attempt, reporter: StageReporter, lease: Lease) -> Mapping[str, Any]:
        """Calls the stage function, and again if a process was lost that Ray does not start again by itself, such as
        the controller of a training or the learner of `mrl`. A stage goes on from what it has saved."""
        execution = self.around.execution
        is_rl = isinstance(self.stage.config, MrlConfig)
        for left in range(execution.rl.max_restarts if is_rl else execution.train.max_failures, -1, -1):
            try:
                return self._call(attempt, reporter, lease)
            except Exception as error:  # whatever it is, it is told from a loss, and goes on
                is_final = not left or self.around.stop.is_set() or self._lost(lease) or ray_setup.is_lost()
                if is_final or not is_loss_of_process(error):
                    raise
                reporter.message(f"lost a process of Ray ({type(error).__name__}); goes on, {left} more times at most")
        raise AssertionError("the last call returns or raises")

    def _call(self, attempt: Attempt, reporter: StageReporter, lease: Lease) -> Mapping[str, Any]:
        store = self.around.store
        module, _, name = self.stage.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        context = StageContext(
            stage=self.stage.name,
            artifact_id=attempt.artifact_id,
            output_uri=store.uri(attempt),
            inputs={key: artifact_of(up, store) for key, up in self.inputs.items()},
            execution=self.around.execution,
            reporter=reporter,
            should_stop=lambda: self._should_stop(lease),
            earlier=self._earlier(attempt),
        )
        return function(context, self.stage.config)

    def _earlier(self, attempt: Attempt) -> tuple[str, ...]:
        """The complete results of this stage with other settings, by the same version of it, the newest first."""
        store, found = self.around.store, []
        for other in store.attempts(self.stage.name):
            manifest = store.read_note(other, MANIFEST) if other.short != attempt.short else None
            if manifest and manifest.get("payload", {}).get("version") == self.stage.version:
                found.append((manifest.get("finished", 0), store.uri(other)))
        return tuple(uri for _, uri in sorted(found, reverse=True))

    def _should_stop(self, lease: Lease) -> bool:
        """Whether the user asked to stop, at which a stage saves what it has. Raises the loss of the lease, after which
        it must save nothing."""
        if lease.lost:
            raise lease.lost
        return self.around.stop.is_set()

    def _compare(self, attempt: Attempt, manifest: dict[str, Any]) -> None:
        """Warns if a deterministic stage gave other bytes than an earlier attempt at the same fingerprint."""
        if not self.stage.deterministic:
            return
        for earlier in self.around.store.attempts(self.stage.name):
            other = self.around.store.read_note(earlier, MANIFEST) if earlier.short == attempt.short else None
            if other and other.get("content_digest", manifest["content_digest"]) != manifest["content_digest"]:
                self._warn(f"not deterministic: its content differs from that of {earlier.artifact_id}")

    def _say(self, text: str) -> None:
        self.around.board.line(f"{self.stage.name}: {text}")

    def _warn(self, text: str) -> None:
        self._say(f"warning: {text}")
