"""Does memory reinforcement learning raise the reward, and only because of the rewards?

For every seed the stage runs three times from the same model: as configured, with rewards shuffled between answers, and
with the same reward for all. It measures the greedy mean reward on fixed held-out episodes before and after, with the
95 % interval of the paired difference.

    python -m tests.benchmarks.memory.mrl_reward SMAT_ARTIFACT EPISODE_SHARDS TOKENIZER [--set mrl.iterations=20]

The first folder holds `model/`, the second `index.json`, the third `tokenizer.json`. One JSON line per run is appended
to results/mrl_reward.jsonl; the exit code is 1 if a reward did not rise or a control's did.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from jobs.configs.rl import MrlConfig
from jobs.stage.context import Artifact, StageContext
from jobs.stage.ray_setup import ensure_ray, shutdown
from pipelines.config import PipelineConfig
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from tests.benchmarks.record import RESULTS, append, environment


class Printer:
    """Prints progress on stderr and keeps no curves."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def progress(self, done: int, total: int, note: str = "") -> None:
        print(f"  {done}/{total} {note}", file=sys.stderr)

    def message(self, text: str, remedy: object = "") -> None:
        print(f"  {text}", file=sys.stderr)

    def file(self, path: str, folder: str = "") -> None:
        pass


def run(inputs: Mapping[str, Artifact], pipeline: PipelineConfig, config: MrlConfig) -> dict:
    """Make one result line."""
    from jobs.rl.controller import run_mrl

    with tempfile.TemporaryDirectory() as output:
        began = time.perf_counter()
        run_mrl(StageContext("mrl", "mrl-1", output, inputs, pipeline.execution, Printer()), config)
        seconds = time.perf_counter() - began
        report = json.loads((Path(output) / "held_out.json").read_text())
    return {
        "benchmark": "mrl_reward",
        **environment("torch", "ray"),
        "seed": config.seed,
        "control": config.control,
        "shuffled": None if config.control == "constant" else config.control == "shuffled",
        "episodes": report["episodes"],
        "before": report["before"],
        "after": report["after"],
        "difference": report["difference"],
        "seconds": round(seconds, 1),
        "iterations": config.iterations,
        "algorithm": config.algorithm,
        "config": config.model_dump(mode="json"),
    }


def opened(folder: Path) -> Artifact:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return Artifact(manifest["stage"], folder.name, str(folder), manifest)


def passed(line: dict) -> bool:
    """Return whether the reward rose: the interval of the difference lies above zero. A control's must not."""
    rose = line["difference"]["low"] > 0
    return rose == (line["control"] == "none")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "shards", "tokenizer"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--preset", default="tiny", choices=PRESETS)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    inputs = {name: opened(getattr(arguments, name).resolve()) for name in ("model", "shards", "tokenizer")}
    pipeline = resolve(PRESETS[arguments.preset](), None, arguments.sets)
    ensure_ray(pipeline.execution)
    failures = 0
    for seed in arguments.seeds:
        for control in ("none", "shuffled", "constant"):
            config = pipeline.mrl.model_copy(update={"seed": seed, "control": control})
            line = run(inputs, pipeline, config)
            append(RESULTS / "mrl_reward.jsonl", [line])
            change, verdict = line["difference"], "as it should be" if passed(line) else "NOT as it should be"
            print(
                f"seed {seed}{'' if control == 'none' else f' {control}'}: {line['before']['mean']:.3f} -> "
                f"{line['after']['mean']:.3f}, difference {change['mean']:+.3f} "
                f"[{change['low']:+.3f}, {change['high']:+.3f}] in {line['seconds']} s, {verdict}"
            )
            failures += not passed(line)
    shutdown()
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
