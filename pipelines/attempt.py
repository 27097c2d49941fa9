"""One attempt at one stage: lease, records, the stage function, manifest. Runs on a worker thread of the runner."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.configs import Execution
from jobs.context import Artifact, Interrupted, StageContext
from pipelines.artifacts import FAILURE, MANIFEST, RESOLVED, ArtifactStore, Attempt, content_digest
from pipelines.display import Board
from pipelines.failures import failure_record
from pipelines.feed import StageFeed
from pipelines.fingerprint import flatten, plain
from pipelines.invocation import Invocation
from pipelines.lease import Lease, LeaseHeld, LeaseTimes, holder_of, take
from pipelines.planner import StageStatus
from pipelines.provenance import provenance
from pipelines.reporter import StageReporter
from pipelines.tracking import Tracking


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of one run share. `parent` is the tracker's run of the whole command."""

    store: ArtifactStore
    execution: Execution
    tracking: Tracking
    board: Board
    invocation: Invocation
    parent: str
    stop: threading.Event
    times: LeaseTimes


class Build:
    """Makes `status.stage` complete from `upstream`, which are complete. `fresh` asks for a new attempt even if there
    is one to go on with."""

    def __init__(
        self, around: Surroundings, status: StageStatus, upstream: Mapping[str, StageStatus], fresh: bool
    ) -> None:
        self.around, self.status, self.stage = around, status, status.stage
        self.inputs = {name: upstream[source.name] for name, source in self.stage.inputs.items()}
        self.fresh = fresh

    def run(self) -> None:
        """Raises Interrupted, LeaseHeld, or whatever the stage raised, once that is recorded in failure.json."""
        store = self.around.store
        attempt = self.status.attempt
        if self.fresh or attempt is None:
            attempt = store.next_attempt(self.stage.name, self.status.fingerprint)
        lease = take(store, attempt, self._say, self.around.stop.is_set, self.around.times)
        try:
            if MANIFEST not in store.names(attempt):  # else somebody completed it while we waited
                self._build(attempt, lease)
        finally:
            lease.release()

    def _build(self, attempt: Attempt, lease: Lease) -> None:
        store, stage, started = self.around.store, self.stage, time.monotonic()
        store.remove(attempt, FAILURE)
        store.write_json(attempt, RESOLVED, self._identity(attempt) | self._how())
        self.around.board.started(stage.name)
        feed = StageFeed(
            store, attempt, self.around.tracking, lambda earlier: self._open_run(attempt, earlier), self._warn
        )
        reporter = StageReporter(store, attempt, self.around.board, feed, self.around.invocation)
        outcome = "KILLED"
        try:
            try:
                metrics = dict(self._call(attempt, reporter, lease))
                result = str(metrics.pop("result", ""))
                numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
                if numbers:
                    reporter.metrics(reporter.step or 0, numbers)
            finally:
                reporter.close()
            outputs = store.outputs(attempt)
            manifest = self._identity(attempt) | {
                "inputs": {
                    name: {
                        "stage": up.stage.name,
                        "artifact_id": up.attempt.artifact_id,
                        "content_digest": up.manifest["content_digest"],
                    }
                    for name, up in self.inputs.items()
                },
                "outputs": outputs,
                "content_digest": content_digest(outputs),
                "result": result,
                "metrics": metrics,
                "provenance": provenance(stage.function),
                "mlflow_run_id": feed.flush(),
                "seconds": round(time.monotonic() - started, 3),
                "finished": time.time(),
            }
            self._compare(attempt, manifest)
            lease.commit(manifest)
            outcome = "FINISHED"
            feed.record("manifest.json", manifest)
            self._say(f"complete {attempt.artifact_id}   {result}")
        except LeaseHeld:
            raise
        except Interrupted as error:
            if lease.lost:
                raise LeaseHeld(attempt, holder_of(store, attempt)) from error
            raise
        except Exception as error:
            outcome = "FAILED"
            workers = self.around.execution.train.workers
            failure = failure_record(error, stage.name, reporter.step, workers, self.around.invocation)
            store.write_json(attempt, FAILURE, failure)
            feed.record(FAILURE, failure)
            raise
        finally:
            feed.close(outcome)
            self.around.board.finished(stage.name)

    def _identity(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "artifact_id": attempt.artifact_id,
            "attempt": attempt.number,
            "fingerprint": self.status.fingerprint,
            "payload": self.status.payload,
        }

    def _how(self) -> dict[str, Any]:
        invocation = self.around.invocation
        return {
            "preset": invocation.preset,
            "overrides": invocation.overrides,
            "command": invocation.command,
            "execution": plain(self.around.execution),
        }

    def _call(self, attempt: Attempt, reporter: StageReporter, lease: Lease) -> Mapping[str, Any]:
        store, stop = self.around.store, self.around.stop
        module, _, name = self.stage.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        context = StageContext(
            stage=self.stage.name,
            artifact_id=attempt.artifact_id,
            output_uri=store.uri(attempt),
            inputs={
                key: Artifact(up.stage.name, up.attempt.artifact_id, store.uri(up.attempt), up.manifest)
                for key, up in self.inputs.items()
            },
            execution=self.around.execution,
            reporter=reporter,
            should_stop=lambda: stop.is_set() or lease.lost,
        )
        return function(context, self.stage.config)

    def _open_run(self, attempt: Attempt, earlier: str | None) -> str:
        """The tracker's run of this attempt: a new one, or `earlier`, which an interrupted try began."""
        return self.around.tracking.start_stage(
            self.around.parent,
            self.stage.name,
            attempt.artifact_id,
            self.around.store.uri(attempt),
            self.status.fingerprint,
            attempt.number,
            dict(flatten(self.status.payload["config"])),
            {name: (up.attempt.artifact_id, up.manifest["content_digest"]) for name, up in self.inputs.items()},
            run_id=earlier,
        )

    def _compare(self, attempt: Attempt, manifest: dict[str, Any]) -> None:
        """A deterministic stage that gives other bytes the second time is not deterministic."""
        if not self.stage.deterministic:
            return
        for earlier in self.around.store.attempts(self.stage.name):
            other = self.around.store.manifest(earlier) if earlier.short == attempt.short else None
            if other and other["content_digest"] != manifest["content_digest"]:
                self._warn(f"not deterministic: its content differs from that of {earlier.artifact_id}")

    def _say(self, text: str) -> None:
        self.around.board.line(f"{self.stage.name}: {text}")

    def _warn(self, text: str) -> None:
        self._say(f"warning: {text}")
