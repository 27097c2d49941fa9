"""A stage function gets a StageContext: URIs of its inputs and its output, how to run, and where to report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.configs.execution import Execution


@dataclass(frozen=True)
class Rerun:
    """Run `stage` again, whose result this stage reads."""

    stage: str


@dataclass(frozen=True)
class Restart:
    """Run this stage again from its start, since the attempt cannot go on."""


@dataclass(frozen=True)
class Change:
    """Set `key` to `value`, since the present value would fail again."""

    key: str
    value: int | float | str


@dataclass(frozen=True)
class Look:
    """Show the states of all stages, or everything about `stage`."""

    stage: str = ""


@dataclass(frozen=True)
class Discard:
    """Drop an attempt whose records cannot be used."""

    stage: str
    artifact_id: str


@dataclass(frozen=True)
class Chat:
    """Chat with the model of `stage`."""

    stage: str


# What the user can do next. The command must repeat the run's preset and overrides, which a stage does not know. So the
# stage names the action, and `pipelines.invocation` words the command. A str is a command that needs neither.
Remedy = Rerun | Restart | Change | Look | Discard | Chat | str


class StageError(RuntimeError):
    """A failure whose message tells the user what is wrong, where, and with which value; `remedy` says how to go on."""

    def __init__(self, message: str, remedy: Remedy = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Interrupted(RuntimeError):
    """The user asked to stop; the stage has saved what it needs to go on."""


class Reporter(Protocol):
    """A stage reports here. The driver prints progress, appends to metrics.jsonl and feeds the tracker."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve in `values`; curves are named `group/name`."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` units of work are done, with a short note (loss, tokens/s)."""

    def message(self, text: str, remedy: Remedy = "") -> None:
        """Show the user one line, such as `resumed at step 300`, and what can be done about it."""

    def file(self, path: str, folder: str = "") -> None:
        """Attach a small local file (plot, sample, table) to the run, where people can browse it."""


@dataclass(frozen=True)
class Artifact:
    """A complete result of an upstream stage. `manifest` is the content of its manifest.json."""

    stage: str
    artifact_id: str
    uri: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class StageContext:
    """What a stage function gets. `inputs` holds an artifact per upstream stage. `output_uri` is absolute (a local path
    or any fsspec URL), and a stage writes nowhere else. `should_stop` raises StageError once another process may write
    there: the stage ends with it and saves nothing. `earlier` are complete results of the same stage with other
    settings, the newest first, of which it may copy what it would make again."""

    stage: str
    artifact_id: str
    output_uri: str
    inputs: Mapping[str, Artifact]
    execution: Execution
    reporter: Reporter
    should_stop: Callable[[], bool] = field(default=lambda: False)
    earlier: tuple[str, ...] = ()
