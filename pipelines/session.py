"""What every command needs: the resolved preset, its stages, the store, and the address of the tracker."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.configs.base import Config
from jobs.stage.context import Artifact, StageError
from pipelines import overrides
from pipelines.advice import not_there, way_on
from pipelines.artifacts import RUN, ArtifactStore, Attempt, AttemptClosed
from pipelines.config import PipelineConfig
from pipelines.curriculum import curriculum
from pipelines.display import short_path
from pipelines.guard.addresses import masked_address
from pipelines.guard.secrets import redacted
from pipelines.invocation import JOB_CONFIG, Invocation
from pipelines.planner import StageStatus, artifact_of, downstream, named, plan
from pipelines.presets import PRESETS
from pipelines.stage import Stage
from pipelines.tracker.database import sqlite_uri
from tokenization.files.cache import own_folder


@dataclass(frozen=True)
class Session:
    """The pipeline as one command sees it. Nothing is remembered from one command to the next."""

    invocation: Invocation
    config: PipelineConfig
    stages: list[Stage]
    store: ArtifactStore
    tracking_uri: str

    @classmethod
    def open(cls, preset: str, file: Path | None, sets: Sequence[str]) -> Session:
        """Raises StageError for an unknown preset, a key or value that does not fit, or a store that nothing serves."""
        known = preset_named(preset)
        found = Path(os.environ.get(JOB_CONFIG, file)) if file else None
        changed = overrides.read(found, sets)  # once: it may be a pipe
        config = overrides.laid_over(known, changed)
        stages = curriculum(config)
        _check_read(config, stages, changed)
        store = ArtifactStore(store_url())
        store.check_readable()
        invocation = Invocation.typed(preset, file, sets, overrides.shown(changed))
        return cls(invocation, config, stages, store, tracking_uri())

    @property
    def header(self) -> str:
        """The first line of a command's output: the store, the tracker, the preset, and the overrides as they were
        typed."""
        options = self.invocation.options
        changed = "".join(f"   {name[2:]} {value}" for name, value in zip(options[::2], options[1::2], strict=True))
        store, tracker = (masked_address(short_path(url)) for url in (self.store.url, self.tracking_uri))
        return f"store {store}   mlflow {tracker}   preset {self.invocation.preset}{changed}"

    def plan(self) -> dict[str, StageStatus]:
        return plan(self.stages, self.store)

    def targets_of_rerun(self, name: str, with_downstream: bool) -> list[Stage]:
        """The stages that a rerun makes. Raises StageError if something that they read is not complete."""
        stage = named(self.stages, name)
        targets = [stage, *(downstream(self.stages, name) if with_downstream else [])]
        statuses = self.plan()
        for target in targets:
            for upstream in target.inputs.values():
                if upstream not in targets and not statuses[upstream.name].is_complete:
                    raise StageError(
                        f"{target.name} reads {upstream.name}, which is {statuses[upstream.name].state}",
                        way_on(self.invocation, statuses, upstream.name),
                    )
        return targets

    def model(self, stage: str | None) -> tuple[Artifact, Artifact]:
        """A model and its tokenizer. It is the model of `stage`; without one, of the export, or of the complete stage
        nearest to it. Raises StageError if there is none."""
        statuses = self.plan()
        if stage is None and "export" not in statuses:
            raise StageError("this preset has no export: name the stage to talk to", self.invocation.stage("list"))
        wanted: Stage | None = named(self.stages, stage or "export")
        while stage is None and wanted is not None and not statuses[wanted.name].is_complete:
            wanted = wanted.inputs.get("model")
        if wanted is None:
            raise not_there("no stage with a model is complete", self.invocation, statuses, "export")
        status = statuses[wanted.name]
        if not status.is_complete:
            reason = f": {status.reason}" if status.reason else ""
            raise not_there(f"{wanted.name} is {status.state}{reason}", self.invocation, statuses, wanted.name)
        if not {"config.json", "model/config.json"} & status.made.manifest["outputs"].keys():
            raise StageError(f"{wanted.name} makes no model", self.invocation.chat())
        return artifact_of(status, self.store), artifact_of(statuses["tokenizer"], self.store)

    @property
    def identity(self) -> dict[str, Any]:
        """The beginning of every object that `--json` prints: the preset and its overrides."""
        return {"preset": self.invocation.preset, "overrides": list(self.invocation.overrides)}

    def as_object(self, statuses: Mapping[str, StageStatus]) -> dict[str, Any]:
        """The states of all stages, as `--json` prints them."""
        return self.identity | {
            "store": masked_address(self.store.url),
            "tracking_uri": masked_address(self.tracking_uri),
            "stages": [self._stage_object(status) for status in statuses.values()],
        }

    def mlflow_run(self, attempt: Attempt) -> str | None:
        """The id of the attempt's MLflow run. The manifest may not know it: if MLflow was away, a later command made
        the run."""
        try:
            record = self.store.read_note(attempt, RUN) or {}
        except AttemptClosed:
            return None
        return record.get("mlflow_run_id")

    def _stage_object(self, status: StageStatus) -> dict[str, Any]:
        attempt, manifest = status.attempt, status.manifest
        return {
            "stage": status.stage.name,
            "state": status.state,
            "artifact_id": attempt.artifact_id if attempt else None,
            "uri": masked_address(self.store.uri(attempt)) if attempt else None,
            "fingerprint": status.fingerprint,
            "attempt": attempt.number if attempt else None,
            "mlflow_run_id": self.mlflow_run(attempt) if attempt else None,
            "seconds": manifest["seconds"] if manifest else None,
            "result": manifest["result"] if manifest else None,
            "reason": status.reason,
        }


def _check_read(config: PipelineConfig, stages: Sequence[Stage], keys: Iterable[str]) -> None:
    """Raise StageError for a key of a stage that the curriculum does not name, as it would change nothing."""
    for key in keys:
        section = getattr(config, key.partition(".")[0])
        if isinstance(section, Config) and section is not config.execution:
            if not any(stage.config is section for stage in stages):
                raise StageError(
                    f"{key} changes nothing: no stage of the curriculum reads it ({', '.join(config.curriculum)})",
                    "rxt run --set 'curriculum=[...]'     names the stages that train, in their order",
                )


def preset_named(name: str) -> PipelineConfig:
    """The configuration of a preset. Raises StageError, which suggests the nearest name."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(PRESETS)}"
        meant = near[0] if near else "tiny"
        words = sys.argv[1:] if name in sys.argv else ["run", name]
        typed = [meant if word == name else word for word in words]
        raise StageError(f"{name}: unknown preset; {hint}", redacted(shlex.join(["rxt", *typed])))
    return PRESETS[name]()


def store_url() -> str:
    """Where artifacts go: `RXT_STORE`, or `artifacts` in our own folder."""
    return _address("RXT_STORE") or str(own_folder() / "artifacts")


def tracking_uri() -> str:
    """Where curves go: `MLFLOW_TRACKING_URI`, or a database in our own folder."""
    return _address("MLFLOW_TRACKING_URI") or sqlite_uri(own_folder() / "mlflow.db")


def _address(name: str) -> str:
    """A variable without white space around its value, such as the end of the line of a file that it came from."""
    return os.environ.get(name, "").strip()
