"""What a stage function is given: concrete URIs of its inputs and output, how to run, and where to report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.configs.execution import Execution


@dataclass(frozen=True)
class Rerun:
    """Make `stage`, whose result is read here, again."""

    stage: str


@dataclass(frozen=True)
class Restart:
    """Make this stage again, from its start: the attempt cannot go on."""


@dataclass(frozen=True)
class Change:
    """Give the setting `key` this value: with the one it has, the same would happen again."""

    key: str
    value: int | float


@dataclass(frozen=True)
class Look:
    """See where all stages stand, or everything about `stage`."""

    stage: str = ""


@dataclass(frozen=True)
class Discard:
    """Drop an attempt whose records are of no use."""

    stage: str
    artifact_id: str


@dataclass(frozen=True)
class Chat:
    """Chat with the model of `stage`."""

    stage: str


# What to do next. A stage does not know preset and overrides of its run, which the command has to repeat: so it says
# what to do, and `pipelines.invocation` in which words. A text is a command in which neither plays a part.
Remedy = Rerun | Restart | Change | Look | Discard | Chat | str


class StageError(RuntimeError):
    """A failure with a message for the user: what, where, which value. `remedy` says how to go on."""

    def __init__(self, message: str, remedy: Remedy = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Interrupted(RuntimeError):
    """The user asked to stop; the stage has saved what it needs to go on."""


class Reporter(Protocol):
    """Where a stage reports. The driver prints progress, appends to metrics.jsonl and feeds the tracker."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves; names are `group/name`."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far the stage is, in its own unit, with a short note (loss, tokens/s)."""

    def message(self, text: str, remedy: Remedy = "") -> None:
        """One line that the user should see, such as `resumed at step 300`, and what could be done about it."""

    def file(self, path: str, folder: str = "") -> None:
        """Show a small local file (plot, sample, table) to whoever browses the run."""


@dataclass(frozen=True)
class Artifact:
    """A complete upstream result. `manifest` is its manifest.json."""

    stage: str
    artifact_id: str
    uri: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class StageContext:
    """`output_uri` is absolute (a local path or any fsspec URL) and the only place a stage writes to."""

    stage: str
    artifact_id: str
    output_uri: str
    inputs: Mapping[str, Artifact]
    execution: Execution
    reporter: Reporter
    should_stop: Callable[[], bool] = field(default=lambda: False)
