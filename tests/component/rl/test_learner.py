"""Worker and learner without Ray: the same log-probabilities, gradient through memory, deterministic resume."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from jobs.configs.rl import MrlConfig
from jobs.configs.training import OptimizerConfig
from jobs.rl import policy
from jobs.rl.controller import require_finite
from jobs.rl.episodes import as_episode, by_length
from jobs.rl.learning import replay
from jobs.rl.learning.learner import Learner
from jobs.rl.replay_buffer import Trajectory
from jobs.rl.rollout_worker import RolloutBatch, RolloutWorker
from jobs.stage.context import Change, StageError
from rxt_model.config import AttentionConfig
from rxt_model.state import remember
from tests.support.rl_data import toy_row, toy_world

torch.set_num_threads(1)
CONFIG = MrlConfig(
    iterations=4, episodes=6, samples=1, turns=(2, 4), optimizer=OptimizerConfig(lr=3e-3, warmup_steps=0)
)


@dataclasses.dataclass(frozen=True)
class LocalPolicy:
    """Hands weights over within the process."""

    version: int
    state: dict

    def fetch(self):
        return self.state


@pytest.fixture
def world(tmp_path):
    return f"{toy_world(tmp_path)['model'].uri}/model", tmp_path


@pytest.fixture(params=["encoder", "encoder that reads memory"])
def each_world(request, tmp_path):
    reads = AttentionConfig(2, 1) if request.param != "encoder" else None
    return f"{toy_world(tmp_path, encoder_memory_attention=reads)['model'].uri}/model", tmp_path


def episodes_of(count: int, iteration: int = 0):
    return by_length(as_episode(toy_row(i, 9, 283, 2 + i % 3), 4, f"{iteration}/{i}") for i in range(count))


def roll_out(world, learner: Learner, episodes, reward, state: str = "w", temperature: float = 1.0):
    """Return the trajectories of one worker. `reward(turn, answer)` is the reward of an answer."""
    uri, folder = world
    worker = RolloutWorker(uri, f"{folder}/{state}.safetensors", 1)
    weights = LocalPolicy(learner.version, learner.weights(learner.version))
    batch = RolloutBatch(f"{state}-{learner.version}", tuple(episodes), temperature, CONFIG.seed)
    columns = [worker.interact(batch, turn, weights) for turn in range(len(episodes[0].turns))]
    trajectories = []
    for row, episode in enumerate(episodes):
        samples = tuple(columns[turn][row] for turn in range(1, len(episode.turns)))
        rewards = tuple(reward(turn, s.answer) for turn, s in zip(episode.turns[1:], samples, strict=True))
        trajectories.append(Trajectory(episode, learner.version, samples, rewards))
    return trajectories


def wordy(turn):
    """Return the same conversation with its question asked three times, which leaves less room for an answer."""
    return dataclasses.replace(turn, prompt=turn.prompt[:-1] * 3 + turn.prompt[-1:])


def wants_short(turn, answer) -> float:
    return 10.0 / len(answer)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_learner_recomputes_the_rollouts_log_probabilities(world, temperature):
    learner = Learner(world[0], CONFIG.model_copy(update={"temperature": temperature}), 1)
    trajectories = roll_out(world, learner, episodes_of(6), wants_short, temperature=temperature)
    batch = replay.ReplayBatch(trajectories, torch.device("cpu"))
    with torch.no_grad():
        memories = replay.rebuild(learner.model, batch, CONFIG.seed)
        scores = replay.score(learner.model, memories.read, batch, temperature)
    assert batch.old.numel() == sum(len(s.answer) for t in trajectories for s in t.samples) > 50
    assert (scores.log_probs - batch.old).abs().max() < 1e-5
    # and they are about this memory: under another one they differ
    with torch.no_grad():
        other = replay.score(learner.model, torch.randn_like(memories.read), batch, temperature)
    assert (other.log_probs - batch.old).abs().max() > 1e-2


def test_rebuilt_memory_is_the_workers(each_world):
    learner = Learner(each_world[0], CONFIG, 1)
    episodes = [as_episode(toy_row(2, 9, 283, 4), 4, "0/2")]
    batch = replay.ReplayBatch(roll_out(each_world, learner, episodes, wants_short), torch.device("cpu"))
    memory = policy.initial_memory(learner.model, episodes, CONFIG.seed)
    with torch.no_grad():
        memories = replay.rebuild(learner.model, batch, CONFIG.seed)
        for turn in range(3):
            assert torch.equal(memories.before[:, turn], memory[:, 0])
            memory = remember(learner.model, memory, [episodes[0].turns[turn].interaction])
            assert torch.allclose(memories.read[:, turn], memory[:, 0], atol=1e-6)


def test_gradient_reaches_the_interaction_two_turns_back_and_not_the_future(world):
    learner = Learner(world[0], CONFIG, 1)
    episodes = [as_episode(toy_row(2, 9, 283, 4), 4, "0/2")]
    batch = replay.ReplayBatch(roll_out(world, learner, episodes, wants_short), torch.device("cpu"))
    encoded = []
    encode = learner.model.encode

    def remember(ids, mask):
        encoded.append(encode(ids, mask))
        encoded[-1].retain_grad()
        return encoded[-1]

    learner.model.encode = remember
    memories = replay.rebuild(learner.model, batch, CONFIG.seed)
    scores = replay.score(learner.model, memories.read, batch, 1.0)
    scores.log_probs[scores.row == 1].sum().backward()  # the answer of turn 2, read after the writes of 0 and 1
    norms = encoded[0].grad.pow(2).sum((0, 2, 3)).sqrt()
    assert norms[0] > 1e-6
    assert norms[1] > 1e-6
    assert norms[2] == 0


def test_last_write_alone_separates_consecutive_policies(world):
    """KL between turns is 0 if a write changes nothing, and positive if it changes something."""
    learner = Learner(world[0], CONFIG, 1)
    batch = replay.ReplayBatch(roll_out(world, learner, episodes_of(6), wants_short), torch.device("cpu"))
    with torch.no_grad():
        memories = replay.rebuild(learner.model, batch, CONFIG.seed)
        after = replay.score(learner.model, memories.read, batch, 1.0)
        before = replay.score(learner.model, memories.before, batch, 1.0)
    assert learner.objective._turn_divergence(after, after.log_probs, batch, {}) == 0
    assert learner.objective._turn_divergence(after, before.log_probs, batch, {}) > 0


def test_flat_and_dense_answers_are_the_same_answers(world):
    learner = Learner(world[0], CONFIG, 1)
    trajectories = roll_out(world, learner, episodes_of(6), lambda turn, answer: float(turn.prompt[2]))
    batch = replay.ReplayBatch(trajectories, torch.device("cpu"))
    assert torch.equal(batch.dense(batch.flat(batch.rewards)), batch.rewards)
    assert batch.flat(batch.rewards).tolist() == [float(prompt[2]) for prompt in batch.prompts]
    assert batch.mask.sum(1).tolist() == [len(e.turns) - 1 for e in batch.episodes]


def test_reference_starts_equal_and_identical_episodes_have_identical_reference_log_probabilities(world):
    learner = Learner(world[0], CONFIG, 1)
    trajectories = roll_out(world, learner, episodes_of(4), wants_short)
    metrics = learner.update(trajectories)
    assert metrics["rl/kl_reference"] > 0  # of the second epoch, after one step
    (rows,) = learner.batches([dataclasses.replace(t, policy_version=1) for t in trajectories * 2])
    (fixed,) = learner.fixed([rows])
    first = {}
    for index, scores in enumerate(fixed.reference.split([len(a) for a in rows.answers])):
        key = (rows.prompts[index], rows.answers[index])
        assert torch.allclose(scores, first.setdefault(key, scores), atol=1e-6)
    untouched = Learner(world[0], CONFIG.model_copy(update={"update_epochs": 1}), 1)
    assert untouched.update(trajectories)["rl/kl_reference"] == pytest.approx(0, abs=1e-7)


def test_parts_thaw_by_stage_and_keep_their_moments(each_world):
    """The memory read of an encoder thaws with that of the decoder."""
    learner = Learner(each_world[0], CONFIG, 1)
    moved = []
    for iteration in range(4):
        before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
        moments = {name: m.clone() for name, m in learner.moments().items()}
        frozen = {f"policy.{name}" for name, p in learner.model.named_parameters()}
        learner.update(roll_out(each_world, learner, episodes_of(6, iteration), wants_short, state=f"w{iteration}"))
        changed = {name for name, p in learner.model.named_parameters() if not torch.equal(p, before[name])}
        moved.append(changed)
        for name in frozen - {f"policy.{name}" for name in changed}:
            assert torch.equal(learner.moments()[f"{name}.exp_avg"], moments[f"{name}.exp_avg"])
    assert {name.split(".")[0] for name in moved[0]} == {"memory_attention"}
    readers = {"encoder", "decoder"} if learner.model.encoder.reads_memory else {"decoder"}
    assert {name.split(".")[0] for name in moved[1]} == {"memory_attention", *readers}
    assert all(name.startswith("memory_attention") or ".memory_" in name for name in moved[1])
    feed_forward = "encoder.layers.0.feed_forward.up.weight"
    assert feed_forward in moved[2] and feed_forward not in moved[1]
    assert {"embedding.weight", "decoder.head.weight"} <= moved[3]
    assert learner.moments()["policy.memory_attention.layers.0.gate.weight.step"] == 8


def test_resume_equals_the_undisturbed_run_bit_for_bit(world):
    def iterate(learner, iteration):
        learner.update(roll_out(world, learner, episodes_of(6, iteration), wants_short, state=f"s{iteration}"))

    straight = Learner(world[0], CONFIG, 1)
    for iteration in range(4):
        iterate(straight, iteration)

    halves = Learner(world[0], CONFIG, 1)
    for iteration in range(2):
        iterate(halves, iteration)
    halves.save(f"{world[1]}/checkpoint")
    resumed = Learner(world[0], CONFIG, 1)
    resumed.load(f"{world[1]}/checkpoint", 2)
    for iteration in range(2, 4):
        iterate(resumed, iteration)
    for mine, theirs in ((resumed.model, straight.model), (resumed.critic, straight.critic)):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name
    for name, moment in resumed.moments().items():
        assert torch.equal(moment, straight.moments()[name]), name


@pytest.mark.parametrize("algorithm", ["impo", "ppo"])
def test_reward_rises_on_a_toy_task(world, algorithm):
    """The reward is the share of one token in the answer. Nothing else tells the policy about this token."""
    wanted = 17

    def likes(turn, answer):
        return 10.0 * sum(token == wanted for token in answer) / len(answer)

    config = CONFIG.model_copy(
        update={
            "iterations": 20, "update_epochs": 4, "algorithm": algorithm, "unfreeze": (0.0, 0.0, 0.0),
            "kl_reference": 0.0, "optimizer": OptimizerConfig(lr=2e-2, warmup_steps=0),
        }
    )  # fmt: skip
    learner = Learner(world[0], config, 1)
    means = []
    for iteration in range(20):
        trajectories = roll_out(world, learner, episodes_of(24, iteration), likes, state=f"r{iteration}")
        rewards = [r for t in trajectories for r in t.rewards]
        means.append(sum(rewards) / len(rewards))
        metrics = learner.update(trajectories)
        assert all(torch.isfinite(torch.tensor(v)) for v in metrics.values())
    assert means[-1] > 5 * max(means[0], 0.05)


def test_a_gradient_that_is_no_number_ends_the_update_and_the_stage(world):
    learner = Learner(world[0], CONFIG, 1)
    trajectories = roll_out(world, learner, episodes_of(6), lambda turn, answer: 1.0)
    _name, weight = next(iter(learner.model.memory_attention.named_parameters()))
    weight.register_hook(lambda gradient: gradient * float("nan"))
    metrics = learner.update(trajectories)
    assert math.isfinite(metrics["rl/loss"]) and math.isnan(metrics["rl/policy_gradient_norm"])
    with pytest.raises(StageError, match="not finite in iteration 3: .*policy gradient norm nan") as caught:
        require_finite(metrics, 3, CONFIG)
    assert caught.value.remedy == Change("mrl.optimizer.lr", CONFIG.optimizer.lr / 2)
    require_finite(metrics | {"rl/policy_gradient_norm": 1.0, "rl/explained_variance": math.nan}, 3, CONFIG)


def test_a_trajectory_of_another_policy_is_refused(world):
    learner = Learner(world[0], CONFIG, 1)
    trajectories = roll_out(world, learner, episodes_of(4), wants_short)
    learner.update(trajectories)
    with pytest.raises(ValueError, match=r"version \[0\].*version 1"):
        learner.update(trajectories)
    with pytest.raises(ValueError, match="version 0"):
        learner.weights(0)


def test_conversations_of_a_batch_are_isolated(world):
    """A conversation gives the same answers, log-probabilities and memory alone and among others, whose longer
    questions leave less room for answers."""
    learner = Learner(world[0], CONFIG, 1)
    first, *others = episodes_of(6)
    episodes = [first, *(dataclasses.replace(e, turns=tuple(map(wordy, e.turns))) for e in others)]
    together = {t.episode.id: t for t in roll_out(world, learner, episodes, wants_short, state="all")}
    alone = roll_out(world, learner, episodes[:1], wants_short, state="one")[0]
    for a, b in zip(alone.samples, together[alone.episode.id].samples, strict=True):
        assert a.answer == b.answer
        assert a.log_probs == pytest.approx(b.log_probs, abs=1e-5)


def test_a_worker_that_comes_back_goes_on_and_counts_no_turn_twice(world):
    uri, folder = world
    learner = Learner(uri, CONFIG, 1)
    weights = LocalPolicy(0, learner.weights(0))
    batch = RolloutBatch("train-0", tuple(episodes_of(6)), 1.0, 0)
    whole = RolloutWorker(uri, f"{folder}/whole.safetensors", 1)
    expected = [whole.interact(batch, turn, weights) for turn in range(4)]

    first = RolloutWorker(uri, f"{folder}/again.safetensors", 1)
    for turn in range(2):
        first.interact(batch, turn, weights)
    second = RolloutWorker(uri, f"{folder}/again.safetensors", 1)
    assert second.interact(batch, 1, weights) == expected[1]  # the call whose answer was lost
    assert [second.interact(batch, turn, weights) for turn in (2, 3)] == expected[2:]
    assert torch.equal(second._memory, whole._memory)
    assert second.writes() == whole.writes() == sum(len(e.turns) for e in batch.episodes)


def test_a_worker_without_the_earlier_turns_says_so(world):
    uri, folder = world
    weights = LocalPolicy(0, Learner(uri, CONFIG, 1).weights(0))
    batch = RolloutBatch("train-0", tuple(episodes_of(4)), 1.0, 0)
    with pytest.raises(RuntimeError, match="turn 2 of train-0"):
        RolloutWorker(uri, f"{folder}/empty.safetensors", 1).interact(batch, 2, weights)


def test_memory_of_answers_to_the_same_question_is_written_once(world):
    learner = Learner(world[0], CONFIG, 1)
    conversations = episodes_of(4)
    samples = [dataclasses.replace(e, id=f"{e.id}#{i}") for e in conversations for i in range(3)]
    trajectories = roll_out(world, learner, by_length(samples), wants_short)
    batch = replay.ReplayBatch(trajectories, torch.device("cpu"))
    assert [len(told) for told in batch.told] == [
        sum(len(e.turns) - 1 > turn for e in conversations) for turn in range(3)
    ]
    with torch.no_grad():
        memories = replay.rebuild(learner.model, batch, CONFIG.seed)
        scores = replay.score(learner.model, memories.read, batch, 1.0)
    assert (scores.log_probs - batch.old).abs().max() < 1e-5


def test_the_z_loss_of_the_router_is_learned_with_the_policy(world):
    """The weighted term makes the first loss larger, and further steps make the term smaller."""

    def told(weight, epochs):
        changes = {"router_z_weight": weight, "update_epochs": epochs, "unfreeze": (0, 0, 0)}
        learner = Learner(world[0], CONFIG.model_copy(update=changes), 1)
        return learner.update(roll_out(world, learner, episodes_of(6), wants_short))

    plain, first, fourth = told(0.0, 1), told(0.5, 1), told(0.5, 4)
    assert first["rl/loss"] == pytest.approx(plain["rl/loss"] + 0.5 * first["router/z"], rel=1e-5)
    assert fourth["router/z"] < first["router/z"]
