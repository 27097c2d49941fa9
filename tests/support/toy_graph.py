"""Small stages that need no Ray, a tracker that keeps everything in memory, and a driver for subprocesses."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from jobs.configs.base import Config
from jobs.configs.execution import Execution
from jobs.stage.context import Interrupted, StageContext, StageError
from pipelines.artifacts import ArtifactStore
from pipelines.display import Board, console_on
from pipelines.invocation import Invocation
from pipelines.lease import LeaseTimes
from pipelines.runner import Runner
from pipelines.stage import Stage
from pipelines.tracker.errors import TrackingUnavailable

QUICK = LeaseTimes(heartbeat=0.05, expiry=1.0, grace=0.3, poll=0.05)
PLAIN = Invocation("rxt run")
calls: list[str] = []


class ToyConfig(Config):
    text: str = ""
    steps: int = 0
    pause: float = 0.0
    deaf: bool = False
    fails_while: str = ""


def write(ctx: StageContext, config: ToyConfig) -> dict:
    """Join the inputs' text with its own."""
    calls.append(ctx.stage)
    if config.fails_while and Path(config.fails_while).exists():
        raise StageError(f"{ctx.stage} cannot while {config.fails_while} exists", "rm it")
    time.sleep(config.pause)
    texts = [Path(up.uri, "out.txt").read_text() for up in ctx.inputs.values()]
    Path(ctx.output_uri, "out.txt").write_text("".join(texts) + config.text)
    return {"result": f"{len(texts)} texts", "toy/texts": len(texts)}


def count(ctx: StageContext, config: ToyConfig) -> dict:
    """Take steps, record each as a checkpoint, continue from the last, and stop when asked (unless deaf)."""
    calls.append(ctx.stage)
    record = Path(ctx.output_uri, "checkpoints.json")
    done = json.loads(record.read_text())["checkpoints"][-1]["step"] if record.exists() else 0
    if done:
        ctx.reporter.message(f"resumed at step {done}")
    for step in range(done + 1, config.steps + 1):
        time.sleep(config.pause)
        with open(Path(ctx.output_uri, "step-log"), "a") as file:
            file.write(f"{step}\n")
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps({"checkpoints": [{"step": step}]}))
        temporary.replace(record)
        ctx.reporter.metrics(step, {"train/loss": 1 / step})
        ctx.reporter.progress(step, config.steps, f"loss {1 / step:.2f}")
        if ctx.should_stop() and not config.deaf:
            raise Interrupted("asked to stop")
    Path(ctx.output_uri, "out.txt").write_text(str(config.steps))
    return {"result": f"{config.steps} steps"}


def toy(name: str, *inputs: Stage, function: str = "write", deterministic: bool = False, **config) -> Stage:
    sources = {stage.name: stage for stage in inputs}
    return Stage(name, "", f"tests.support.toy_graph:{function}", ToyConfig(**config), sources, deterministic)


class MemoryTracking:
    """What the runner asks of a tracker, kept in memory. `away` makes it unreachable."""

    def __init__(self) -> None:
        self.away = False
        self.runs: dict[str, dict] = {}
        self.parents: list[dict] = []
        self.left: list[str] = []

    def _reach(self) -> None:
        if self.away:
            raise TrackingUnavailable("the tracker is away", "start it")

    check = _reach

    def start_run(self, command, overrides):
        self._reach()
        self.parents.append({"command": command, "reused": {}, "status": "RUNNING", "points": [], "files": []})
        return f"parent-{len(self.parents)}"

    def _parent(self, run_id):
        return self.parents[int(run_id.removeprefix("parent-")) - 1]

    def note_reused(self, runs):
        self._reach()
        self.parents[-1]["reused"] |= runs

    def describe(self, run_id, metrics, text):
        self._reach()
        self._parent(run_id).update(figures=metrics, text=text)

    def page_of(self, run_id):
        return f"#/{run_id}"

    def show_models(self, made, text):
        self._reach()

    def has_run(self, run_id):
        self._reach()
        return run_id in self.runs

    def leave_stage(self, run_id):
        self.left.append(run_id)

    def start_stage(
        self, parent, stage, artifact_id, uri, fingerprint, attempt, params, inputs, run_id=None, sampled=True
    ):
        self._reach()
        run_id = run_id if run_id in self.runs else f"run-{len(self.runs) + 1}"
        run = self.runs.setdefault(run_id, {"points": [], "files": []})
        run |= {"stage": stage, "artifact_id": artifact_id, "params": params, "inputs": inputs, "status": "RUNNING"}
        return run_id

    def log_metrics(self, run_id, points):
        self._reach()
        run = self.runs[run_id] if run_id in self.runs else self._parent(run_id)
        run["points"] += points

    def log_file(self, run_id, path, folder=""):
        self._reach()
        run = self.runs[run_id] if run_id in self.runs else self._parent(run_id)
        run["files"].append(Path(path).name)

    def end_stage(self, run_id, status):
        self._reach()
        self.runs[run_id]["status"] = status

    def end_run(self, status):
        self._reach()
        self.parents[-1]["status"] = status

    def of(self, stage: str) -> list[dict]:
        return [run for run in self.runs.values() if run["stage"] == stage]


def run(
    stages,
    store,
    *,
    fresh=(),
    targets=None,
    tracking=None,
    parallel=1,
    file=sys.stdout,
    times=QUICK,
    invocation=PLAIN,
    wait=True,
) -> int:
    calls.clear()
    board = Board(console_on(file))
    execution = Execution(parallel_stages=parallel)
    seen: Any = tracking or MemoryTracking()
    runner = Runner(stages, store, execution, seen, board, invocation, times)
    with board:
        return runner.run(stages if targets is None else targets, fresh, wait)


def slow_pair(steps: int, deaf: bool = False) -> list[Stage]:
    base = toy("base", deterministic=True, text="b")
    return [base, toy("count", base, function="count", steps=steps, pause=0.05, deaf=deaf)]


if __name__ == "__main__":  # python -m tests.support.toy_graph STORE STEPS DEAF: a driver to be interrupted and killed
    from tests.support import toy_graph

    url, steps, deaf = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "deaf"
    sys.exit(toy_graph.run(toy_graph.slow_pair(steps, deaf), ArtifactStore(url)))
