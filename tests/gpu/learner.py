"""One iteration of reinforcement learning: an update of the learner against the CPU's, and a rollout on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from jobs.configs.rl import MrlConfig
from jobs.rl import policy
from jobs.rl.episodes import Episode, by_length
from jobs.rl.learning.learner import Learner
from jobs.rl.rollout_worker import RolloutBatch, RolloutWorker
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import ReactiveTransformer
from tests.support import rl_data
from tokenization.hashing import stable_seed

CONFIG = MrlConfig(iterations=4, episodes=6, samples=2, update_epochs=2, unfreeze=(0, 0, 0))
LIMIT = 1e-3


@dataclass(frozen=True)
class LocalPolicy:
    """Hands weights over within the process."""

    version: int
    state: dict[str, Tensor]

    def fetch(self) -> dict[str, Tensor]:
        return self.state


def drawn_on_the_cpu(model: ReactiveTransformer, episodes: list[Episode], seed: int) -> Tensor:
    """A device has random numbers of its own. Those of the CPU can be compared."""
    seeds = [stable_seed(seed, "memory", episode.group) for episode in episodes]
    return model.initial_memories([torch.Generator().manual_seed(seed) for seed in seeds])


def check(device: torch.device, folder: Path) -> Iterator[dict]:
    save_pretrained(rl_data.toy_model(), folder)
    uri = str(folder)
    trajectories = rl_data.random_trajectories(CONFIG, 0, np.random.default_rng(0))
    with patch.object(policy, "initial_memory", drawn_on_the_cpu):
        expected = Learner(uri, CONFIG, 1).update(trajectories)
        found = Learner(uri, CONFIG, 1, device.type).update(trajectories)
    errors = {name: abs(found[name] - value) / max(abs(value), 1e-3) for name, value in expected.items()}
    worst = max(errors, key=errors.__getitem__)
    yield {
        "what": "update of the learner",
        "ok": errors[worst] < LIMIT,
        "largest_error": {worst: errors[worst]},
        "loss": found["rl/loss"],
    }

    weights = LocalPolicy(0, Learner(uri, CONFIG, 1, device.type).weights(0))
    episodes = by_length(trajectory.episode for trajectory in trajectories)
    batch = RolloutBatch("check", tuple(episodes), CONFIG.temperature, CONFIG.seed)
    worker = RolloutWorker(uri, f"{uri}/worker.safetensors", 1, device.type)
    answers = [worker.interact(batch, turn, weights) for turn in range(len(episodes[0].turns))]
    told = [sample for turn in answers for sample in turn]
    again = RolloutWorker(uri, f"{uri}/worker.safetensors", 1, device.type)
    yield {
        "what": "rollout",
        "ok": bool(told) and again.interact(batch, 1, weights) == answers[1],  # from its file
        "answers": len(told),
        "tokens": sum(len(sample.answer) for sample in told),
    }
