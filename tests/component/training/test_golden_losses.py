"""The first ten steps of every objective are those recorded in tests/assets/losses, on a small model and few rows.

A change that is meant to move them says so in its commit, and records them again:

    python -m tests.component.training.test_golden_losses

Losses agree to one part in ten thousand. Another CPU adds fp32 numbers up in another order: without its vector
instructions, or with every initial weight changed by 3e-7, the numbers moved by 1e-5 at most when this was written.
The weights of all parts of a loss are large here, so that a change of one of them by a hundredth is seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from jobs.configs.rl import MrlConfig
from jobs.rl.learning.learner import Learner
from jobs.training.batching.reader import WHOLE
from jobs.training.loop import Cadence, train
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.recipe import build
from pipelines.code_digest import ROOT
from rxt_model.files.checkpoint import save_pretrained
from tests.support import rl_data
from tests.support.stages.configs import COMMON, STAGES, STEPS, make_world, stage_parts

FOLDER = ROOT / "tests/assets/losses"
LEARNER = COMMON | dict(
    iterations=STEPS, episodes=6, update_epochs=1, entropy=0.1, kl_reference=0.5, kl_turns=0.5, memory_drift=0.5
)
LEARNERS = {
    "mrl_impo": MrlConfig(**LEARNER, samples=1),
    "mrl_impo_group": MrlConfig(**LEARNER, samples=2),
    "mrl_ppo": MrlConfig(**LEARNER, samples=1, algorithm="ppo", router_z_weight=0.1),
}

Losses = dict[str, list[float]]


def keep(values: Mapping[str, float], found: Losses) -> None:
    for name, value in values.items():
        if name.endswith(("loss", "gradient_norm")):
            found[name].append(value)


def trained(name: str, uris: dict[str, str]) -> Losses:
    """Return what every step of a stage reported about its losses and gradients."""
    function, config, inputs = stage_parts(name, uris)
    recipe = build(function, config, inputs, WHOLE)
    found: Losses = defaultdict(list)
    optimizer, cadence = StageOptimizer(recipe.objective, config.optimizer, config.steps), Cadence(1, STEPS)
    train(recipe.objective, optimizer, recipe.batch_at, config, cadence, log=lambda _, values: keep(values, found))
    return found


def learned(name: str, folder: Path) -> Losses:
    """Return what every update of a learner reported, on answers of random words."""
    config = LEARNERS[name]
    save_pretrained(rl_data.toy_model(), folder)
    learner = Learner(str(folder), config, threads=1)
    random, found = np.random.default_rng(0), defaultdict(list)
    for version in range(STEPS):
        keep(learner.update(rl_data.random_trajectories(config, version, random)), found)
    return found


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("golden"))


def assert_recorded(name: str, found: Losses) -> None:
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    assert found.keys() == recorded.keys()
    assert max(map(len, found.values())) == STEPS
    for key, values in recorded.items():
        assert found[key] == pytest.approx(values, rel=1e-4, abs=1e-6), key


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_the_losses_that_it_had(uris, name):
    assert_recorded(name, trained(name, uris))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_has_the_losses_that_it_had(tmp_path, name):
    assert_recorded(name, learned(name, tmp_path))


def test_every_record_belongs_to_a_test():
    assert {path.stem for path in FOLDER.glob("*.json")} == {*STAGES, *LEARNERS}


def record(folder: Path = FOLDER) -> None:
    with TemporaryDirectory() as scratch:
        uris = make_world(Path(scratch))
        found = {name: trained(name, uris) for name in STAGES}
        found |= {name: learned(name, Path(scratch, name)) for name in LEARNERS}
    for path in folder.glob("*.json"):
        path.unlink()
    for name, losses in found.items():
        lines = (
            f"  {json.dumps(key)}: {json.dumps([float(f'{value:.7g}') for value in losses[key]])}" for key in losses
        )
        (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record()
