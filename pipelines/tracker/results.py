"""What the run of a command shows of its stages: a table with links to their runs, their losses, and the figures,
report and plots of the evaluation. So commands can be compared without a look at their stages. The runs of stages show
the models that they read and made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pipelines.artifacts import RUN, ArtifactStore
from pipelines.display import duration
from pipelines.planner import StageStatus
from pipelines.tracker.models import Shown

MEASURED = "evaluation.json"  # the stage that writes it is the one that measures; any stage may write a report
REPORT = "report.md"
LOSS = "eval/loss"


class Tracker(Protocol):
    """The part of `tracking.Tracking` that this needs. `describe` adds figures and a text in Markdown to a run,
    `page_of` is the address of a run below that of the server, and `show_models` shows what models artifacts hold."""

    def describe(self, run_id: str, metrics: Mapping[str, float], text: str) -> None: ...

    def page_of(self, run_id: str) -> str: ...

    def log_file(self, run_id: str, path: str, folder: str = "") -> None: ...

    def show_models(self, made: Sequence[Shown], text: str) -> None: ...


def show_results(tracking: Tracker, parent: str, store: ArtifactStore, complete: Iterable[StageStatus]) -> None:
    """Shows complete stages on the run `parent`. Raises TrackingError or StoreError."""
    metrics: dict[str, float] = {}
    made = []
    rows = ["| stage | result | took | artifact |", "|---|---|---|---|"]
    for status in complete:
        name, (attempt, manifest) = status.stage.name, status.made
        found = {key: value for key, value in manifest["metrics"].items() if isinstance(value, (int, float))}
        if MEASURED in manifest["outputs"]:
            metrics |= found
            _show_files(tracking, parent, store, status)
        elif LOSS in found:
            metrics[f"{name}/loss"] = found[LOSS]
        run_id = (store.read_note(attempt, RUN) or {}).get("mlflow_run_id")
        shown = f"[{name}]({tracking.page_of(run_id)})" if run_id else name
        if run_id:
            made.append(Shown(run_id, manifest, store.uri(attempt)))
        result = manifest["result"].replace("|", "\\|")
        rows.append(f"| {shown} | {result} | {duration(manifest['seconds'])} | `{attempt.artifact_id}` |")
    text = "\n".join(rows)
    tracking.describe(parent, metrics, text)
    tracking.show_models(made, text)


def _show_files(tracking: Tracker, parent: str, store: ArtifactStore, status: StageStatus) -> None:
    attempt, manifest = status.made
    with tempfile.TemporaryDirectory() as folder:
        for name in manifest["outputs"]:
            if name == REPORT or name.startswith("plots/"):
                if (path := store.fetch(attempt, name, folder)) is not None:
                    tracking.log_file(parent, path, name.rpartition("/")[0])
