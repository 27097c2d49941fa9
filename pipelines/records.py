"""The forms of the records in a store: what this code reads of them, and of which type it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_NAMED = 3  # faults of one kind that a message names
_Moment = Annotated[float, Field(ge=0, lt=2**40)]  # seconds since the epoch, as a calendar can show them


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Payload(_Form):
    stage: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, str]


class _Source(_Form):
    stage: str
    artifact_id: str
    content_digest: str


class _OutputFile(_Form):
    size: int
    sha256: str


class _Provenance(_Form):
    code: dict[str, str]
    packages: dict[str, str] = {}


class BeginningForm(_Form):
    """Of attempt.json, which an attempt writes at its start: what it is, and what it is made from."""

    stage: str
    artifact_id: str
    attempt: int
    fingerprint: str
    payload: _Payload
    inputs: dict[str, _Source]


class ManifestForm(BeginningForm):
    """Of manifest.json, beside its `schema`."""

    outputs: dict[str, _OutputFile]
    content_digest: str
    result: str
    metrics: dict[str, Any]
    provenance: _Provenance
    mlflow_run_id: str | None
    seconds: float
    finished: _Moment


class FailureForm(_Form):
    """Of failure.json. `rank`, one of `workers`, is None if the failure belongs to no rank. `repeats` is true if the
    attempt would fail again as it is. `rerun` names the stage that must be made again first, if any."""

    stage: str
    rank: int | None
    failed_ranks: list[int]
    workers: int
    step: int | None
    type: str
    message: str
    next_command: str
    repeats: bool
    rerun: str | None
    traceback: str
    time: _Moment


class RunForm(_Form):
    """Of run.json: the run in the tracker, and what it has not received."""

    mlflow_run_id: str | None = None
    unsent: int | None = None
    files: list[str] = []


class LeaseForm(_Form):
    """Of lease-N.json. Older code wrote no `monotonic` and no `seconds`."""

    host: str
    processes: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    started: float
    job: str
    beat: int
    time: float
    released: bool
    monotonic: float = 0.0
    seconds: float = 0.0


def fault(record: Mapping[str, Any], form: type[BaseModel]) -> str:
    """What of a record has another form, empty if nothing has."""
    try:
        form.model_validate(record)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    else:
        return ""
    missing = [_place(problem["loc"]) for problem in problems if problem["type"] == "missing"]
    if missing:
        return f"it has no {', '.join(missing[:_NAMED])}; another version of this code may have written it"
    return "; ".join(f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems[:_NAMED])


def _place(parts: tuple[int | str, ...]) -> str:
    return ".".join(map(str, parts))
