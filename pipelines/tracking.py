"""All that touches MLflow: a parent run for each command, a child run for each artifact, curves, inputs and small
files.

Clients and absolute URIs are explicit, as the fluent API keeps hidden state per process and per thread. MLflow is
imported on first use (1 to 3 seconds), so that planning never pays for it. The artifact store decides what is complete:
a lost tracking database costs curves, not work.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from jobs.stage.context import StageError
from pipelines.guard.addresses import masked_address, without_user
from pipelines.guard.secrets import redacted
from pipelines.guard.transport import has_mlflow_login, protect
from pipelines.processes import this_process
from pipelines.revision import commit
from pipelines.tracker.database import PROBE_SECONDS, prepare, sqlite_path, sqlite_uri
from pipelines.tracker.environment import prepare_environment
from pipelines.tracker.errors import TrackingError, TrackingUnavailable
from pipelines.tracker.liveness import HEARTBEAT, PROCESS, Heartbeat, lost_parents
from pipelines.tracker.models import Shown, is_to_hand_over, register, show_lineage
from pipelines.tracker.system_metrics import SystemMetrics

if TYPE_CHECKING:
    from mlflow import MlflowClient

Point = tuple[str, float, int, int]
"""Name, value, step, time in milliseconds since the epoch."""

SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")
PAUSE_SECONDS = 30
LONGEST_PARAM = 500
LONGEST_DIGEST = 36
METRICS_PER_BATCH, PARAMS_PER_BATCH = 1000, 100


def absolute_uri(uri: str) -> str:
    """`uri` independent of the current directory: Ray's workers and jobs run in another one.

    Raises TrackingError for a kind of store that MLflow does not take.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.partition("+")[0] not in SCHEMES:
        raise _unusable(uri, "not a database or a server")
    if scheme.startswith("sqlite"):
        if scheme not in ("sqlite", "sqlite+pysqlite"):
            raise _unusable(uri, "not the driver of SQLite that Python has")
        path = rest.removeprefix("/")
        if path in ("", ":memory:") or "?" in path:
            raise _unusable(uri, "names no file")
        return sqlite_uri(sqlite_path(uri).absolute())
    if scheme.startswith("http"):
        try:
            urlsplit(uri)
        except ValueError as error:
            raise _unusable(uri, str(error)) from error
    return uri.rstrip("/")


def _unusable(uri: str, reason: str) -> TrackingError:
    return TrackingError(
        f"tracking URI {masked_address(uri)!r}: {reason}; use sqlite:////absolute/mlflow.db or http://host:port",
        "unset MLFLOW_TRACKING_URI   to use .rxt/mlflow.db",
    )


class Tracking:
    """Runs of one pipeline in the experiment `rxt-<preset>`. Safe to use from several threads."""

    def __init__(self, uri: str, preset: str) -> None:
        self.uri = absolute_uri(uri)
        self.shown = masked_address(self.uri)
        self.preset = preset
        self._samplers: dict[str, SystemMetrics] = {}
        self._dataset_lock = threading.Lock()  # MLflow looks a dataset up, then inserts it: a race of parallel stages
        self._parent = ""
        self._paused_until = 0.0

    def check(self) -> None:
        """Reach the store, and create the schema of a new database. Raises TrackingError within seconds."""
        if self.uri.startswith("http"):
            protect(self.uri, "the login of MLflow" if has_mlflow_login(self.uri) else "")
            self._check_server()
        else:
            prepare(self.uri)
        try:
            with self._reaching():
                self._experiment_id  # noqa: B018  the first access looks it up or creates it
        except TrackingUnavailable as error:
            raise TrackingError(str(error), error.remedy) from error

    def _check_server(self) -> None:
        """Raises TrackingError unless the server answers. What asks for a login, answers; MLflow's client logs in."""
        try:
            urllib.request.urlopen(f"{without_user(self.uri)}/health", timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403):
                reason = f"HTTP {error.code}"
                raise TrackingError(f"MLflow at {self.shown} cannot be used: {reason}", self._remedy) from error
        except (OSError, ValueError, HTTPException) as error:
            reason = redacted(str(getattr(error, "reason", None) or error))
            raise TrackingError(f"MLflow at {self.shown} cannot be used: {reason}", self._remedy) from error

    def start_run(self, command: str, overrides: Sequence[str]) -> str:
        """The parent run of one `rxt run`. Ends those whose process was killed or lost."""
        tags = {
            **_source_tags(command),
            "rxt.preset": self.preset,
            "rxt.command": command,
            "rxt.overrides": " ".join(overrides),
            PROCESS: json.dumps(this_process()),
        }
        with self._reaching():
            self._end_lost()
            run = self._client.create_run(self._experiment_id, tags=tags, run_name=command)
        self._parent = run.info.run_id
        self._heartbeat = Heartbeat(self._beat)
        self._heartbeat.start()
        return self._parent

    def note_reused(self, runs: Mapping[str, str]) -> None:
        """Tags the parent run with the MLflow runs that built what it reuses: `runs` maps stages to their ids."""
        from mlflow.entities import RunTag

        with self._reaching():
            tags = [RunTag(f"rxt.reused.{stage}", run_id) for stage, run_id in runs.items()]
            self._client.log_batch(self._parent, tags=tags)

    def describe(self, run_id: str, metrics: Mapping[str, float], text: str) -> None:
        """Adds figures to a run, and a text in Markdown that its page shows."""
        now = time.time_ns() // 1_000_000
        self.log_metrics(run_id, [(name, value, 0, now) for name, value in metrics.items()])
        with self._reaching():
            self._client.set_tag(run_id, "mlflow.note.content", text)

    def show_models(self, made: Sequence[Shown], text: str) -> None:
        """Shows the models of complete artifacts, each after those it came from. The one to hand over is registered
        under the name of the experiment, with a text in Markdown."""
        with self._reaching():
            for artifact in made:
                if (run := self._find(artifact.run_id)) is None:
                    continue
                experiments = {self._experiment_id, run.info.experiment_id}
                model_id = show_lineage(self._client, run, sorted(experiments), artifact)
                if model_id and is_to_hand_over(artifact):
                    register(self._client, f"rxt-{self.preset}", model_id, artifact, text)

    def page_of(self, run_id: str) -> str:
        """The address, below that of the server, of a run."""
        return f"#/experiments/{self._experiment_id}/runs/{run_id}"

    def start_stage(
        self,
        parent: str,
        stage: str,
        artifact_id: str,
        uri: str,
        fingerprint: str,
        attempt: int,
        params: Mapping[str, object],
        inputs: Mapping[str, tuple[str, str]],
        run_id: str | None = None,
        sampled: bool = True,
    ) -> str:
        """The child run of one artifact, with system metrics `sampled` until `end_stage`.

        `run_id` is the run of an interrupted attempt: it goes on, so that its curves continue. `inputs` maps names to
        (artifact id, digest). Returns the run's id.
        """
        tags = {
            **_source_tags(stage),
            "mlflow.parentRunId": parent,
            "rxt.stage": stage,
            "rxt.artifact_id": artifact_id,
            "rxt.artifact_uri": masked_address(uri),
            "rxt.fingerprint": fingerprint,
            "rxt.attempt": str(attempt),
            **{f"rxt.upstream.{name}": upstream for name, (upstream, _) in inputs.items()},
        }
        with self._reaching():
            earlier = self._find(run_id) if run_id else None
            if earlier is None:
                run = self._client.create_run(self._experiment_id, tags=tags, run_name=f"{stage} {artifact_id}")
            else:
                run = earlier
                self._adopt(run, tags)
            known = run.data.params
            self._log_params(run.info.run_id, {k: v for k, v in params.items() if k not in known})
            self._log_inputs(run.info.run_id, inputs)
        started: str = run.info.run_id
        if sampled:
            self._samplers[started] = SystemMetrics(run.info.start_time, partial(self.log_metrics, started))
            self._samplers[started].start()
        return started

    def has_run(self, run_id: str) -> bool:
        """False if the run, or its database, was deleted meanwhile."""
        with self._reaching():
            return self._find(run_id) is not None

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        """Append to curves. All of `points` are logged, or TrackingUnavailable is raised and may be tried again."""
        from mlflow.entities import Metric

        metrics = [Metric(name, value, timestamp, step) for name, value, step, timestamp in points]
        with self._reaching():
            for at in range(0, len(metrics), METRICS_PER_BATCH):
                self._client.log_batch(run_id, metrics=metrics[at : at + METRICS_PER_BATCH])

    def log_file(self, run_id: str, path: str, folder: str = "") -> None:
        """Copy a small local file to the run's artifacts."""
        with self._reaching():
            self._client.log_artifact(run_id, path, folder or None)

    def end_stage(self, run_id: str, status: str) -> None:
        """`status` is FINISHED, FAILED or KILLED."""
        self.leave_stage(run_id)
        with self._reaching(at_once=True):
            self._client.set_terminated(run_id, status)

    def leave_stage(self, run_id: str) -> None:
        """Lets go of a run. Another process may go on with it."""
        sampler = self._samplers.pop(run_id, None)
        if sampler:
            sampler.stop()

    def end_run(self, status: str) -> None:
        """End the parent run, and as KILLED whatever stage was left open, also by lost processes. All are tried, then
        the first failure is raised."""
        failures = []
        self._heartbeat.stop()
        for run_id, final in [*((child, "KILLED") for child in self._samplers), (self._parent, status)]:
            try:
                self.end_stage(run_id, final)
            except TrackingUnavailable as error:
                failures.append(error)
        if failures:
            raise failures[0]
        with self._reaching():
            self._end_lost()

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps its files; None leaves it to the server. MLflow would use the current folder."""
        return str(sqlite_path(self.uri).parent / "mlflow-artifacts") if self.uri.startswith("sqlite") else None

    def page(self) -> str:
        """The address, below that of the server, of the newest run's experiment: its tree of runs."""
        with self._reaching():
            ours = [e.experiment_id for e in self._client.search_experiments(filter_string="name LIKE 'rxt-%'")]
            newest = self._client.search_runs(ours, max_results=1, order_by=["attributes.start_time DESC"])
        return f"#/experiments/{newest[0].info.experiment_id}/runs" if newest else "#/experiments"

    @cached_property
    def _client(self) -> MlflowClient:
        prepare_environment()
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @cached_property
    def _experiment_id(self) -> str:
        name = f"rxt-{self.preset}"
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return self._client.create_experiment(name, artifact_location=self.artifacts)
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    @property
    def _remedy(self) -> str:
        if self.uri.startswith("http"):
            return "start that server, or unset MLFLOW_TRACKING_URI to use .rxt/mlflow.db"
        return "MLFLOW_TRACKING_URI=sqlite:////another/mlflow.db rxt run"

    @contextmanager
    def _reaching(self, at_once: bool = False) -> Generator[None]:
        """Turn every failure of the store into TrackingUnavailable, and rest for a while after one: a stage that
        reports every few steps must not wait for a timeout each time. `at_once` tries in spite of that."""
        if time.monotonic() < self._paused_until and not at_once:
            raise TrackingUnavailable(f"MLflow at {self.shown} failed a moment ago", self._remedy)
        try:
            self._client  # noqa: B018  the first access makes it
            yield
        except StageError:
            raise
        except Exception as error:  # of MLflow, SQLAlchemy, a driver, or what MLflow does besides
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            code = getattr(error, "get_http_status_code", int)()
            if code in (401, 403):
                raise TrackingUnavailable(*self._refused(code)) from error
            reason = redacted(" ".join(str(error).split()))[:300]
            raise TrackingUnavailable(f"MLflow at {self.shown} failed: {reason}", self._remedy) from error
        self._paused_until = 0.0

    def _refused(self, code: int) -> tuple[str, str]:
        remedy = "export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…, or MLFLOW_TRACKING_TOKEN=…"
        if code == 401:
            return f"MLflow at {self.shown} demands a login, or refused the one that is set", remedy
        return f"MLflow at {self.shown} does not let this login write to it", remedy

    def _find(self, run_id: str):
        """The run, or None if it or its database was deleted since."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _beat(self, count: int) -> None:
        with self._reaching():
            self._client.set_tag(self._parent, HEARTBEAT, str(count))

    def _end_lost(self) -> None:
        """End the parent runs whose process is gone or lost, and what is still open below a parent that has ended."""
        running, page = [], None
        while page is None or page.token:
            token = page.token if page else None
            page = self._client.search_runs([self._experiment_id], "status = 'RUNNING'", page_token=token)
            running += page
        living = {run.info.run_id for run in running} - lost_parents(running, self._client.set_tag)
        for run in running:
            if run.info.run_id not in living or run.data.tags.get("mlflow.parentRunId", run.info.run_id) not in living:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _adopt(self, run, tags: Mapping[str, str]) -> None:
        """Continue `run` below a new parent. The old one was killed if it still says RUNNING: we hold the lease."""
        old = self._find(run.data.tags.get("mlflow.parentRunId", ""))
        if old and old.info.run_id != tags["mlflow.parentRunId"] and old.info.status == "RUNNING":
            self._client.set_terminated(old.info.run_id, "KILLED")
        for key, value in tags.items():
            self._client.set_tag(run.info.run_id, key, value)
        self._client.update_run(run.info.run_id, status="RUNNING")

    def _log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        entities = [Param(name, _shortened(value)) for name, value in params.items()]
        for at in range(0, len(entities), PARAMS_PER_BATCH):
            self._client.log_batch(run_id, params=entities[at : at + PARAMS_PER_BATCH])

    def _log_inputs(self, run_id: str, inputs: Mapping[str, tuple[str, str]]) -> None:
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        datasets = []
        for name, (artifact_id, digest) in inputs.items():
            source = CodeDatasetSource({"rxt.artifact_id": artifact_id})
            dataset = MetaDataset(source, name=f"{name} {artifact_id}", digest=digest[:LONGEST_DIGEST])
            datasets.append(DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "input")]))
        if datasets:
            with self._dataset_lock:
                self._client.log_inputs(run_id, datasets)


def _source_tags(name: str) -> dict[str, str]:
    tags = {
        "mlflow.user": psutil.Process().username(),
        "mlflow.source.name": name,
        "mlflow.source.git.commit": commit(),
        "rxt.ray_job_id": os.environ.get("RXT_JOB", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_PARAM else f"{text[: LONGEST_PARAM - 24]}… ({len(text)} characters)"
