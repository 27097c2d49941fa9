"""Learners that share conversations learn what one learner learns of all of them, and load each other's checkpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from jobs.configs.execution import LayoutExecution
from jobs.configs.rl import MrlConfig
from jobs.configs.training import OptimizerConfig
from jobs.rl.learning.learner import Learner
from jobs.rl.replay_buffer import Trajectory, dealt
from rxt_model.files.checkpoint import save_pretrained
from tests.support.ranks import on_ranks
from tests.support.rl_data import random_trajectories, toy_model

torch.set_num_threads(1)
WEIGHTS = dict(entropy=0.1, kl_reference=0.5, kl_turns=0.5, memory_drift=0.5, balance_weight=0.5, router_z_weight=0.1)
COMMON = MrlConfig(
    iterations=2,
    episodes=10,
    samples=2,
    turns=(2, 4),
    unfreeze=(0, 0.3, 0.5),
    optimizer=OptimizerConfig(lr=1e-3, warmup_steps=0),
    **WEIGHTS,
)
CONFIGS = {
    "groups": COMMON,
    "critic": COMMON.model_copy(update={"samples": 1, "algorithm": "ppo"}),
}
UPDATES = 2
# by the number of ranks
LAYOUTS = {
    2: {
        "root": LayoutExecution(),
        "blocks": LayoutExecution(shard="block", micro_batches=2),
    },
    4: {
        "experts": LayoutExecution(expert_parallel=2, shard="block", activation_checkpointing=True),
        "replicas": LayoutExecution(replicas=2),
    },
}


def trajectories_of(config: MrlConfig, version: int) -> list[Trajectory]:
    """Make trajectories, of which those that answer the same questions are compared with each other."""
    made = random_trajectories(config, version, np.random.default_rng(version))
    names = (f"conversation {number // config.samples}" for number in range(len(made)))
    return [replace(t, episode=replace(t.episode, group=name)) for t, name in zip(made, names, strict=True)]


def learn(learner: Learner, rank: int, ranks: int, first: int = 0) -> list[dict[str, float]]:
    """Return what the updates from version `first` on tell."""
    versions = range(first, UPDATES)
    return [learner.update(dealt(trajectories_of(learner.config, v), ranks)[rank]) for v in versions]


def worker(rank: int, ranks: int, folder: str) -> None:
    for layout_name, layout in LAYOUTS[ranks].items():
        for name, config in CONFIGS.items():
            learner = Learner(f"{folder}/model", config, 1, layout=layout)
            told = learn(learner, rank, ranks)
            place = f"{folder}/{ranks}-{layout_name}-{name}"
            learner.save(f"{place}/checkpoint")
            weights = learner.weights(UPDATES)
            assert bool(weights) == (rank == 0)
            resumed = Learner(f"{folder}/model", config, 1, layout=layout)
            resumed.load(f"{folder}/alone-{name}", 1)
            again = learn(resumed, rank, ranks, first=1)
            if rank == 0:
                torch.save((told, weights, again), f"{place}/told.pt")
            dist.barrier()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Give what one learner told, its weights, and the folder with what the groups told."""
    folder = tmp_path_factory.mktemp("group")
    save_pretrained(toy_model(), folder / "model")
    alone = {}
    for name, config in CONFIGS.items():
        learner = Learner(str(folder / "model"), config, 1)
        told = [learner.update(trajectories_of(config, 0))]
        learner.save(f"{folder}/alone-{name}")
        alone[name] = [*told, *learn(learner, 0, 1, first=1)], learner.weights(UPDATES)
    for ranks in LAYOUTS:
        on_ranks(ranks, worker, ranks, str(folder))
    return alone, folder


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("ranks", "layout"), [(ranks, layout) for ranks in LAYOUTS for layout in LAYOUTS[ranks]])
def test_a_group_learns_what_one_learner_learns(runs, name, ranks, layout):
    alone, folder = runs
    expected, weights = alone[name]
    place = folder / f"{ranks}-{layout}-{name}"
    told, found, again = torch.load(place / "told.pt")
    for version, (ours, theirs) in enumerate(zip(told, expected, strict=True)):
        assert ours.keys() == theirs.keys()
        for key in theirs.keys() - {"memory/rank_share"}:  # looks at the first conversations of each rank
            assert ours[key] == pytest.approx(theirs[key], rel=10.0 ** (version - 4), abs=1e-6), (version, key)
    assert again[0]["rl/loss"] == pytest.approx(expected[1]["rl/loss"], rel=1e-5)  # from the checkpoint of one learner
    for key, tensor in weights.items():
        assert torch.allclose(found[key], tensor, rtol=1e-4, atol=2e-4), key

    one = Learner(str(folder / "model"), CONFIGS[name], 1)  # and one goes on from the checkpoint of a group
    one.load(f"{place}/checkpoint", UPDATES)
    assert all(torch.equal(found[key], tensor) for key, tensor in one.weights(UPDATES).items())


def test_conversations_are_dealt_whole_and_evenly():
    trajectories = trajectories_of(CONFIGS["groups"], 0)
    parts = dealt(trajectories, 2)
    assert sorted(t.episode.id for part in parts for t in part) == sorted(t.episode.id for t in trajectories)
    groups = [{t.episode.group for t in part} for part in parts]
    assert not groups[0] & groups[1] and abs(len(groups[0]) - len(groups[1])) <= 1
    with pytest.raises(ValueError, match="5 conversations cannot be dealt to 6"):
        dealt(trajectories, 6)
