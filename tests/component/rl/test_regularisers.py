"""Each regulariser of the learner against arithmetic by hand, one answer and one token at a time; and rewards that
teach nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jobs.configs.rl import MrlConfig
from jobs.rl.learning import replay
from jobs.rl.learning.learner import Learner
from rxt_model.files.checkpoint import save_pretrained
from tests.support.rl_data import random_trajectories, toy_model

torch.set_num_threads(1)
OFF = dict(entropy=0.0, kl_reference=0.0, kl_turns=0.0, memory_drift=0.0, balance_weight=0.0)
CONFIG = MrlConfig(iterations=4, episodes=4, samples=1, turns=(2, 4), **OFF)
WEIGHT = 0.3


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regularisers")
    save_pretrained(toy_model(), folder)
    return str(folder)


def moved(uri: str) -> Learner:
    """Return a learner whose policy is no longer its reference."""
    learner = Learner(uri, CONFIG.model_copy(update={"kl_reference": WEIGHT}), 1)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in learner.model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return learner


def loss_of(learner: Learner, batch: replay.ReplayBatch, **weights: float) -> float:
    learner.config = learner.objective.config = CONFIG.model_copy(update=weights)
    loss, _ = learner.objective(batch, *learner.fixed([batch]))
    return loss.item()


def distributions(model, memory, prompt, answer) -> list[torch.Tensor]:
    """Return the log-probabilities of all words [V] at each token of an answer, given its memory [L, 1, S, d]."""
    ids = torch.tensor([[*prompt, *answer]])
    logits = model.logits(model.decode(ids, memory))[0].double()
    return [logits[len(prompt) + place - 1].log_softmax(-1) for place in range(len(answer))]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@torch.no_grad()
def by_hand(learner: Learner, batch: replay.ReplayBatch) -> dict[str, float]:
    """Return what each weight multiplies."""
    memories = replay.rebuild(learner.model, batch, CONFIG.seed)
    assert learner.reference is not None
    reference_model = learner.reference.model
    of_reference = replay.rebuild(reference_model, batch, CONFIG.seed).read
    old = iter(batch.old.tolist())
    entropy, reference, turns, drift = [], [], [], []
    for n, (prompt, answer) in enumerate(zip(batch.prompts, batch.answers, strict=True)):
        one = slice(n, n + 1)
        now = distributions(learner.model, memories.read[:, one], prompt, answer)
        before = distributions(learner.model, memories.before[:, one], prompt, answer)
        theirs = distributions(reference_model, of_reference[:, one], prompt, answer)
        entropy.append(mean([-(p.exp() * p).sum().item() for p in now]))
        to_reference, to_before = [], []
        for place, word in enumerate(answer):
            p, drawn = now[place][word].item(), next(old)
            for other, found in ((theirs, to_reference), (before, to_before)):
                ratio = other[place][word].item() - p
                found.append(math.exp(p - drawn) * (math.exp(ratio) - 1 - ratio))
        reference.append(mean(to_reference))
        if batch.turn[n] > 1:
            turns.append(mean(to_before))
        change = (memories.read[:, n] - memories.before[:, n]).square().mean().item()
        drift.append(math.sqrt(batch.turn[n].item()) * change)
    found = {"entropy": -mean(entropy), "kl_reference": mean(reference), "kl_turns": mean(turns)}
    return found | {"memory_drift": mean(drift)}


def test_every_regulariser_has_its_size_and_its_sign(uri):
    """A policy with more entropy costs less; one far from its reference, or from its own turn before, costs more."""
    learner = moved(uri)
    batch = replay.ReplayBatch(random_trajectories(CONFIG, 0, np.random.default_rng(0)), torch.device("cpu"))
    without = loss_of(learner, batch)
    expected = by_hand(learner, batch)
    assert expected["entropy"] < 0 < min(value for name, value in expected.items() if name != "entropy")
    for name, value in expected.items():
        found = loss_of(learner, batch, **{name: WEIGHT}) - without
        assert found == pytest.approx(WEIGHT * value, rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("samples", [1, 2])
def test_constant_rewards_teach_the_policy_nothing(uri, samples):
    config = CONFIG.model_copy(update={"samples": samples, "update_epochs": 1, "unfreeze": (0.0, 0.0, 0.0)})
    gradient = {}
    for name, reward in (("constant", 5.0), ("own", None)):
        trajectories = random_trajectories(config, 0, np.random.default_rng(0), reward)
        gradient[name] = Learner(uri, config, 1).update(trajectories)["rl/policy_gradient_norm"]
    assert gradient["constant"] < 1e-6 < 1e-3 < gradient["own"]
