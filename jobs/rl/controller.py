"""Stage `mrl`: rollout -> reward -> learn -> sync -> checkpoint, as plain sequential code over actors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import ray
import torch
from ray.actor import ActorHandle
from safetensors import safe_open
from torch import Tensor

from jobs.configs import MrlConfig, RlExecution
from jobs.context import Interrupted, StageContext, StageError
from jobs.model_folder import local_folder, require_tokenizer
from jobs.ray_setup import ensure_ray
from jobs.rl import checkpoints, files
from jobs.rl.episodes import Episode, by_length, held_out_episodes, stable_hash, training_episodes
from jobs.rl.held_out import compare
from jobs.rl.learner import Learner
from jobs.rl.replay_buffer import ReplayBuffer, Sample, Trajectory
from jobs.rl.rewards import Reward, reward_trajectories
from jobs.rl.rollout_worker import RolloutBatch, RolloutWorker
from jobs.rl.weight_sync import Policy, publish
from rxt_model.checkpoint import WEIGHTS, load_config
from tokenization.reader import ShardReader
from tokenization.template import decode_answer
from tokenization.tokenizer import Tokenizer

TRANSCRIPTS = 2


def run_mrl(ctx: StageContext, config: MrlConfig) -> dict[str, float | str]:
    """Memory reinforcement learning on the conversations of `ctx.inputs["shards"]`, from `ctx.inputs["model"]` on.

    Writes `model/`, `held_out.json` and `samples.jsonl`. Called again after a kill it goes on from its checkpoint.
    """
    started = time.monotonic()
    ensure_ray(ctx.execution)
    model_uri, work_uri = f"{ctx.inputs['model'].uri}/model", f"{ctx.output_uri}/rl"
    actors = Actors.start(model_uri, work_uri, config, ctx.execution.rl)
    try:
        data = Data.open(ctx, config, model_uri)
        before = _before(actors, data, config, work_uri)
        in_steps = _iterate(ctx, config, actors, data, f"{work_uri}/checkpoints")
        version = config.iterations
        after = _held_out(actors, data, config, publish(actors.learner, version))
        ray.get(actors.learner.export.remote(f"{ctx.output_uri}/model"))
    finally:
        actors.stop()
    files.remove(f"{work_uri}/workers")
    result = compare(before["rewards"], after["rewards"])
    files.put(f"{ctx.output_uri}/held_out.json", json.dumps(result, indent=2).encode())
    samples = [json.dumps(line, ensure_ascii=False) for line in (*before["transcripts"], *after["transcripts"])]
    files.put(f"{ctx.output_uri}/samples.jsonl", ("\n".join(samples) + "\n").encode())
    seconds = time.monotonic() - started
    ctx.reporter.message(f"{in_steps / seconds:.0%} of {seconds:.0f} s were spent in steps")
    difference = result["difference"]
    return {
        "held_out_before": result["before"]["mean"],
        "held_out_after": result["after"]["mean"],
        "held_out_difference": difference["mean"],
        "held_out_difference_low": difference["low"],
        "held_out_difference_high": difference["high"],
        "step_share": in_steps / seconds,
        "result": f"reward {result['before']['mean']:.2f} -> {result['after']['mean']:.2f}",
    }


@dataclass(frozen=True)
class Actors:
    """One learner, and rollout workers that conversations are dealt to by a stable hash."""

    learner: ActorHandle
    workers: tuple[ActorHandle, ...]

    @classmethod
    def start(cls, model_uri: str, work_uri: str, config: MrlConfig, execution: RlExecution) -> Actors:
        # rollouts and updates take turns, so the learner claims no CPU of its own and may use all of theirs
        threads = execution.threads * execution.rollout_workers
        learner = ray.remote(num_cpus=0)(Learner).remote(model_uri, config, threads)
        worker = ray.remote(
            num_cpus=execution.threads, max_restarts=execution.max_restarts, max_task_retries=execution.max_restarts
        )(RolloutWorker)
        return cls(
            learner,
            tuple(
                worker.remote(model_uri, f"{work_uri}/workers/{i}.safetensors", execution.threads)
                for i in range(execution.rollout_workers)
            ),
        )

    def stop(self) -> None:
        for actor in (self.learner, *self.workers):
            ray.kill(actor)

    def collect(
        self, key: str, episodes: Sequence[Episode], policy: Policy, temperature: float, seed: int
    ) -> list[Trajectory]:
        """Play the episodes, interaction by interaction, on all workers at once; results in the order of `episodes`.

        `key` must differ between batches; memory and answers of one that was cut off are found again by it.
        """
        dealt: list[list[Episode]] = [[] for _ in self.workers]
        for episode in episodes:
            dealt[stable_hash(episode.id) % len(self.workers)].append(episode)
        dealt = [by_length(own) for own in dealt]
        busy = [(w, e, ray.put(RolloutBatch(key, e, temperature, seed)))
                for w, e in zip(self.workers, dealt, strict=True) if e]  # fmt: skip
        samples: dict[str, list[Sample]] = {episode.id: [] for episode in episodes}
        for turn in range(max(len(episode.turns) for episode in episodes)):
            playing = [(w, e, batch) for w, e, batch in busy if len(e[0].turns) > turn]
            answers = ray.get([w.interact.remote(batch, turn, policy) for w, _, batch in playing])
            for (_, own, _), rows in zip(playing, answers, strict=True):
                for episode, sample in zip(own, rows, strict=False):  # finished episodes stand last; turn 0 has no rows
                    samples[episode.id].append(sample)
        return [Trajectory(episode, policy.version, tuple(samples[episode.id])) for episode in episodes]


@dataclass(frozen=True)
class Data:
    """What the controller itself needs: episodes, the tokenizer for transcripts, and the rewards' embedding [V, d],
    which stays that of the upstream model, so that the measure does not move with what it measures."""

    train: ShardReader
    held_out: tuple[Episode, ...]
    tokenizer: Tokenizer
    embedding: Tensor
    control: frozenset[int]
    eos: int
    config: MrlConfig

    @classmethod
    def open(cls, ctx: StageContext, config: MrlConfig, model_uri: str) -> Data:
        shards = ctx.inputs["shards"].uri
        readers = {split: ShardReader(shards, split) for split in ("train", "validation", "test")}
        tokenizer = Tokenizer.load(f"{ctx.inputs['tokenizer'].uri}/tokenizer.json")
        with local_folder(model_uri) as folder:
            _, model = load_config(folder)
            with safe_open(folder / WEIGHTS, framework="pt") as weights:
                embedding = weights.get_tensor("embedding.weight").float()
        require_tokenizer(model.tokenizer_digest, model_uri, tokenizer)
        require_tokenizer(readers["train"].tokenizer_digest, shards, tokenizer)
        held_out = held_out_episodes((readers["validation"], readers["test"]), config)
        if len(held_out) < config.held_out_episodes:
            raise StageError(
                f"mrl.held_out_episodes = {config.held_out_episodes}, but {shards} holds {len(held_out)} conversations "
                "outside the train split",
                "rxt run --set mrl.held_out_episodes=N",
            )
        tokens = model.tokens
        return cls(
            readers["train"], held_out, tokenizer, embedding, frozenset(asdict(tokens).values()), tokens.eos, config
        )

    def reward(self, trajectories: Sequence[Trajectory]) -> tuple[Reward, list[Trajectory]]:
        """Every answer's reward, flat and term by term, and the trajectories with theirs."""
        reward = reward_trajectories(self.config.reward, self.embedding, self.eos, self.control, trajectories)
        parts = reward.total.split([len(t.samples) for t in trajectories])
        return reward, [replace(t, rewards=tuple(p.tolist())) for t, p in zip(trajectories, parts, strict=True)]

    def transcript(self, when: str, trajectory: Trajectory) -> dict:
        turns = [
            {
                "query": self.tokenizer.decode(turn.prompt),
                "answer": decode_answer(self.tokenizer, sample.answer),
                "reference": decode_answer(self.tokenizer, turn.reference),
                "reward": round(reward, 3),
            }
            for turn, sample, reward in zip(
                trajectory.episode.turns[1:], trajectory.samples, trajectory.rewards, strict=True
            )
        ]
        first = trajectory.episode.turns[0]
        told = {"query": self.tokenizer.decode(first.prompt), "told": decode_answer(self.tokenizer, first.reference)}
        return {"when": when, "episode": trajectory.episode.id, "turns": [told, *turns]}


def _iterate(ctx: StageContext, config: MrlConfig, actors: Actors, data: Data, folder_uri: str) -> float:
    """The loop. Returns the seconds spent in rollouts and updates."""
    iteration, buffer = 0, ReplayBuffer()
    restored = checkpoints.restore(folder_uri, actors.learner)
    if restored is not None:
        iteration, buffer = restored
        ctx.reporter.message(f"resumed at step {iteration}")
    in_steps, every = 0.0, ctx.execution.rl.checkpoint_every_iterations
    while iteration < config.iterations:
        begun = time.monotonic()
        if not len(buffer) and not ctx.should_stop():
            episodes = training_episodes(data.train, config, iteration)
            policy = publish(actors.learner, iteration)
            buffer.add(actors.collect(f"train-{iteration}", episodes, policy, config.temperature, config.seed))
        if ctx.should_stop():
            checkpoints.save(folder_uri, actors.learner, checkpoints.Progress(iteration, buffer))
            raise Interrupted(f"mrl stopped after iteration {iteration} of {config.iterations}")
        reward, trajectories = data.reward(buffer.take(iteration))
        if config.shuffle_rewards:
            trajectories = shuffled(trajectories, stable_hash(config.seed, "shuffle", iteration))
        metrics = ray.get(actors.learner.update.remote(trajectories))
        if not math.isfinite(metrics["rl/loss"]):
            raise StageError(f"the loss is not finite in iteration {iteration}: {metrics}", "rxt stage rerun mrl")
        iteration += 1
        in_steps += time.monotonic() - begun
        ctx.reporter.metrics(iteration, _reward_metrics(reward, trajectories) | metrics)
        note = f"reward {reward.total.mean():.2f}, kl {metrics['rl/kl_reference']:.3f}"
        ctx.reporter.progress(iteration, config.iterations, note)
        if iteration % every == 0 or iteration == config.iterations:
            checkpoints.save(folder_uri, actors.learner, checkpoints.Progress(iteration, buffer))
    return in_steps


def _reward_metrics(reward: Reward, trajectories: Sequence[Trajectory]) -> dict[str, float]:
    values = {
        "rl/reward_mean": reward.total.mean(),
        "rl/reward_min": reward.total.min(),
        "rl/reward_max": reward.total.max(),
        "rl/reward_bleu": reward.bleu.mean(),
        "rl/reward_cosine": reward.cosine.mean(),
        "rl/reward_length": reward.length.mean(),
    }
    turn = torch.cat([torch.arange(len(t.samples)) for t in trajectories]) + 1
    values |= {f"rl/reward_turn_{i}": reward.total[turn == i].mean() for i in turn.unique().tolist()}
    return {name: float(value) for name, value in values.items()}


def shuffled(trajectories: Sequence[Trajectory], seed: int) -> list[Trajectory]:
    """The control: every answer gets the reward of some other answer of the batch."""
    rewards = torch.tensor([reward for t in trajectories for reward in t.rewards], dtype=torch.float64)
    order = torch.randperm(len(rewards), generator=torch.Generator().manual_seed(seed))
    parts = rewards[order].split([len(t.rewards) for t in trajectories])
    return [replace(t, rewards=tuple(p.tolist())) for t, p in zip(trajectories, parts, strict=True)]


def _before(actors: Actors, data: Data, config: MrlConfig, work_uri: str) -> dict:
    """The upstream model's held-out rewards, measured once per attempt."""
    held = files.get(f"{work_uri}/held_out_before.json")
    if held is not None:
        return json.loads(held)
    before = _held_out(actors, data, config, publish(actors.learner, 0))
    files.put(f"{work_uri}/held_out_before.json", json.dumps(before).encode())
    return before


def _held_out(actors: Actors, data: Data, config: MrlConfig, policy: Policy) -> dict:
    """Greedy mean reward of every held-out episode, and the first transcripts. Version 0 is the upstream model."""
    key = f"held-out-{policy.version}"
    _, trajectories = data.reward(actors.collect(key, data.held_out, policy, 0.0, config.seed))
    when = "before" if policy.version == 0 else "after"
    return {
        "rewards": [sum(t.rewards) / len(t.rewards) for t in trajectories],
        "transcripts": [data.transcript(when, t) for t in trajectories[:TRANSCRIPTS]],
    }
