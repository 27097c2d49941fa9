"""Disturb the smallest pipeline again and again until it is complete, and compare it with one that nobody disturbed.

    python -m tests.benchmarks.operations.chaos FOLDER --seed 0               a life: 36 faults, a JSON line for each
    python -m tests.benchmarks.operations.chaos FOLDER --seed 1 --faults 20   another one, by the same undisturbed run
    python -m tests.benchmarks.operations.chaos FOLDER --until text-shards    no further; another FOLDER

The seed draws stages, kinds of faults (faults.py) and moments: a share of the time that the stage takes undisturbed.
After each fault the same command is begun again, at once. A life has failed if a complete artifact does not hold the
bytes that its manifest promises, if two commands wrote one attempt at a time, if a command ended in another way than
its fault allows, if more than five steps were lost (a checkpoint every second step, written beside the next two, and
one step reported meanwhile), if MLflow still shows a run as running, or if the files of the end are not those of the
undisturbed run, but for the times that reports tell. Lines are written when a life has ended well, and say whether each
fault struck anything. If a life is interrupted, the same command goes on with it. It needs root: the store is a small
file system, which one fault fills.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

from mlflow import MlflowClient

from tests.benchmarks.operations.faults import FAULTS, Scene
from tests.benchmarks.operations.store_proofs import WriterWatch, complete, last_step, without_times
from tests.benchmarks.record import RESULTS, append, environment
from tests.support.nano import RXT, Command, Workspace
from tests.support.processes import SECONDS, until

RUN = ("run", "tiny", "--config", "nano.toml")
STORE_MEGABYTES = 400
FIRST_GROUP = 50_000
STEPS_AT_RISK = 2 + 2 + 1  # a checkpoint every second step, written beside the next two, and the step that was reported
RESUMED = re.compile(r"^(\S+): resumed at step (\d+)", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where undisturbed run and lives are kept; a short path, for Ray.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=36)
    parser.add_argument("--until", metavar="STAGE", default="export")
    arguments = parser.parse_args()
    common = {"benchmark": "chaos", **environment("ray", "mlflow")}
    words = (*RUN, "--until", arguments.until)
    calm = undisturbed(arguments.folder / "undisturbed", words)
    life = Life(arguments.folder / f"life{arguments.seed}", calm, words, arguments.seed, arguments.faults)
    common |= {"until": arguments.until, "seed": arguments.seed}
    append(RESULTS / "chaos.jsonl", [common | line for line in life.live()])


def undisturbed(folder: Path, words: tuple[str, ...]) -> Workspace:
    """Return the pipeline that nobody disturbed, made if need be."""
    if folder.exists():
        workspace = Workspace(folder)
    else:
        folder.mkdir(parents=True)
        workspace = Workspace.fresh(folder)
    workspace.rxt(*words)
    return workspace


def plan(seed: int, count: int, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Draw faults, in the order of the stages. `seconds` says how long each stage takes."""
    random = Random(seed)
    kinds = [kind for _ in range(-(-count // len(FAULTS))) for kind in random.sample(list(FAULTS), len(FAULTS))]
    stages = sorted(random.choices(list(seconds), k=count), key=list(seconds).index)
    return [
        {"stage": stage, "kind": kind, "after": round(random.random() * seconds[stage], 2)}
        for stage, kind in zip(stages, kinds, strict=False)
    ]


class Life:
    """One pipeline from its empty store to its end, and what happened to it."""

    def __init__(self, folder: Path, calm: Workspace, words: tuple[str, ...], seed: int, count: int) -> None:
        self.undisturbed, self.words, self.seed = calm, words, seed
        status = {stage: entry for stage, entry in calm.status().items() if entry["state"] == "complete"}
        self.stages = list(status)
        self.plan = plan(seed, count, {stage: entry["seconds"] for stage, entry in status.items()})
        self.log = folder / "faults.jsonl"
        if not folder.exists():
            folder.mkdir()
            Workspace.fresh(folder)
        self.workspace = Workspace(folder)
        self.lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        if self.lines and not self.workspace.store.is_mount():
            raise SystemExit(
                f"{folder}: this life has ended, or its store was lost; remove the folder to begin it anew"
            )
        if not self.workspace.store.is_mount():
            self.workspace.store.mkdir(exist_ok=True)
            size = ("-o", f"size={STORE_MEGABYTES}m")
            subprocess.run(["mount", "-t", "tmpfs", *size, "chaos", self.workspace.store], check=True, timeout=SECONDS)

    def live(self) -> list[dict[str, Any]]:
        """Return a line for each fault, once all are survived. The small file system is given back then."""
        try:
            with WriterWatch(self.workspace.store) as watch:
                command = self.begin()
                for drawn in self.plan[len(self.lines) :]:
                    command = self.reach(command, drawn["stage"], drawn["after"])
                    scene = Scene(self.workspace, command, self.begin, Random(f"{self.seed} {len(self.lines)}"))
                    line = self.suffer(scene, drawn)
                    command = self.begin() if scene.command.process.poll() is not None else scene.command
                    self.note(line | {"log": command.log.name, "seen": len(command.output)})
                    assert watch.violations == []
                self.reach(command, self.stages[-1]).ends_with(0)
            assert watch.violations == [] and watch.files > 0
            self.check_end()
        finally:
            for process in self.workspace.processes():
                process.kill()
        subprocess.run(["umount", self.workspace.store], check=True, timeout=SECONDS)
        return [self.told(number) for number in range(len(self.lines))]

    def note(self, line: dict[str, Any]) -> None:
        print(line, flush=True)
        self.lines.append(line)
        self.log.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def begin(self, within: tuple[str, ...] = ()) -> Command:
        """Begin the command, in a group of its own, which marks the files that it makes."""
        number = len(list(self.workspace.folder.glob("output-*")))
        group = ("setpriv", f"--regid={FIRST_GROUP + number}", "--clear-groups")
        return Command(self.workspace, self.words, self.workspace.environment, (*within, *group, RXT))

    def reach(self, command: Command, stage: str, after: float = 0.0) -> Command:
        """Wait until so many seconds after a stage has begun, and return the command that has come so far: another one
        if this one could not go on after its last fault."""
        begun = (f"{stage}/*/attempt.json", f"{stage}/*/manifest.json")
        until(lambda: command.process.poll() is not None or any(map(any, map(self.workspace.store.glob, begun))))
        time.sleep(after)
        if (code := command.process.poll()) in (None, 0):
            return command
        last = self.lines[-1]
        assert code == 1 and last["kind"] == "worker", command.output
        self.lines[-1] = last | {"code": code}
        return self.reach(self.begin(), stage, after)

    def suffer(self, scene: Scene, drawn: dict[str, Any]) -> dict[str, Any]:
        """Strike, and return what followed."""
        running = [name for name in self.stages if self.workspace.begun(name)]
        hit = {name: last_step(self.workspace.store, name) for name in running}
        fault, command = FAULTS[drawn["kind"]], scene.command
        # A command that has said nothing may not listen to signals yet, and then they end it at once.
        deaf = set() if command.output else {-signal.SIGTERM, -signal.SIGHUP}
        struck = fault.strike(scene)
        if struck and None not in fault.codes:
            command.process.wait(SECONDS)
        code = scene.command.process.poll()
        allowed = fault.codes | deaf if struck else {None, 0}
        assert code in allowed, f"{drawn['kind']}: it ended with {code}\n{command.output}"
        complete(self.workspace.store)
        return drawn | {"hit": hit, "code": code, "struck": struck}

    def told(self, number: int) -> dict[str, Any]:
        """Return the line of a fault with the steps that were done again after it."""
        line, following = self.lines[number], self.lines[number + 1 : number + 2]
        output = (self.workspace.folder / line["log"]).read_text()
        until_next = [after["seen"] for after in following if after["log"] == line["log"]]
        output = output[line["seen"] : until_next[0] if until_next else None]
        resumed = {stage: int(step) for stage, step in reversed(RESUMED.findall(output))}
        lost = {stage: max(0, reached - resumed[stage]) for stage, reached in line["hit"].items() if stage in resumed}
        assert all(steps <= STEPS_AT_RISK for steps in lost.values()), line
        does = FAULTS[line["kind"]].does
        kept = {key: line[key] for key in ("kind", "stage", "after", "struck", "hit", "code")}
        return {"number": number, "does": does, "lost": lost} | kept

    def check_end(self) -> None:
        stores = (self.workspace.store, self.undisturbed.store)
        ours, undisturbed = map(complete, stores)
        assert sorted(ours) == sorted(self.stages)
        for stage, own in ours.items():
            assert own.keys() == undisturbed[stage].keys(), stage
            for name in (name for name in own if own[name] != undisturbed[stage][name]):
                manifests = (next(store.glob(f"{stage}/*/manifest.json")) for store in stores)
                one, other = (without_times(manifest.parent / name) for manifest in manifests)
                assert one == other, f"{stage}: {name} differs"
        client = MlflowClient(f"sqlite:///{self.workspace.database}")
        (experiment,) = client.search_experiments(filter_string="name = 'rxt-tiny'")
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        made = [run.data.tags["rxt.stage"] for run in runs if "mlflow.parentRunId" in run.data.tags]
        assert sorted(made) == sorted(self.stages) and not any(run.info.status == "RUNNING" for run in runs)


if __name__ == "__main__":
    main()
