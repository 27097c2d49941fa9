"""Stage `mrl` repeats rollout, reward, update and checkpoint, in plain sequential code that calls actors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from jobs.configs.rl import MrlConfig
from jobs.rl import checkpoints
from jobs.rl.actors import Actors
from jobs.rl.episodes import training_episodes
from jobs.rl.held_out import compare
from jobs.rl.replay_buffer import ReplayBuffer, Trajectory
from jobs.rl.rewards import Reward
from jobs.rl.stage_data import StageData
from jobs.rl.weight_sync import Policy, publish
from jobs.stage.context import Change, Interrupted, StageContext, StageError
from jobs.stage.model_folder import upload
from jobs.stage.model_input import model_uri, open_model_config
from jobs.stage.resources import choose_device
from jobs.training.objectives.collapse import ALARM, RANK, alarm_of
from rxt_model.estimate.layouts import ParallelLayout, obstacle
from tokenization.files import storage
from tokenization.hashing import stable_seed

TRANSCRIPTS = 2
HELD_OUT_BEFORE = "held_out_before.json"


def run_mrl(ctx: StageContext, config: MrlConfig) -> dict[str, float | str]:
    """Train the model `ctx.inputs["model"]` on the conversations of `ctx.inputs["shards"]` by reinforcement learning.

    Writes `model/`, `held_out.json` and `samples.jsonl`. If it was killed, it goes on from its checkpoint. Raises
    Interrupted once a stop has been checkpointed, and StageError for unusable inputs and losses that are not finite.
    """
    started = time.monotonic()
    data = StageData.open(ctx, config)
    _check_execution(ctx, config)
    device = choose_device(ctx, config)
    work_uri = f"{ctx.output_uri}/rl"
    actors = Actors.start(model_uri(ctx.inputs["model"]), work_uri, config, ctx.execution.rl, device)
    try:
        start = _restore(ctx, actors, work_uri)
        before = _before(actors, data, config, work_uri)
        in_steps = _iterate(ctx, config, actors, data, start, f"{work_uri}/checkpoints")
        after = _held_out(actors, data, config, publish(actors.learner, config.iterations))
        actors.learner.export(f"{ctx.output_uri}/model")
    finally:
        actors.stop()
    storage.remove(f"{work_uri}/workers")
    result = compare(before["rewards"], after["rewards"])
    samples = [json.dumps(line, ensure_ascii=False) for line in (*before["transcripts"], *after["transcripts"])]
    _show(ctx, {"held_out.json": json.dumps(result, indent=2), "samples.jsonl": "\n".join(samples) + "\n"})
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
        "seconds_in_steps": in_steps,
        "seconds_in_fit": seconds,
        "result": f"reward {result['before']['mean']:.2f} -> {result['after']['mean']:.2f}",
    }


def _check_execution(ctx: StageContext, config: MrlConfig) -> None:
    rl, conversations = ctx.execution.rl, config.episodes // config.samples
    layout = ParallelLayout(rl.learners, rl.expert_parallel, replicas=rl.replicas)
    if rl.learners > 1 and (reason := obstacle(open_model_config(ctx.inputs["model"]), layout)):
        raise StageError(f"{ctx.stage}: execution.rl.{reason}", Change("execution.rl.expert_parallel", 1))
    if conversations < rl.learners * rl.micro_batches:
        changed = ("micro_batches", conversations // rl.learners) if conversations >= rl.learners else ("learners", 1)
        raise StageError(
            f"{ctx.stage}: an iteration of {conversations} conversations has none for some of {rl.micro_batches} "
            f"micro-batches of {rl.learners} learners",
            Change(f"execution.rl.{changed[0]}", changed[1]),
        )


def _show(ctx: StageContext, texts: Mapping[str, str]) -> None:
    """Write small text files, given by name, into the artifact, and attach them to the run."""
    with TemporaryDirectory(prefix="rxt-mrl-") as folder:
        for name, text in texts.items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            ctx.reporter.file(str(path))
        upload(Path(folder), ctx.output_uri)


def _restore(ctx: StageContext, actors: Actors, work_uri: str) -> checkpoints.Progress:
    """The progress of this attempt so far, from its checkpoint if there is one."""
    restored = checkpoints.restore(f"{work_uri}/checkpoints", actors.learner)
    if restored is not None:
        ctx.reporter.message(f"resumed at step {restored.iteration}")
        return restored
    if storage.read(f"{work_uri}/{HELD_OUT_BEFORE}") is not None:
        ctx.reporter.message("resumed at step 0: the stage was stopped before its first checkpoint")
    return checkpoints.Progress(0, ReplayBuffer())


def _iterate(
    ctx: StageContext,
    config: MrlConfig,
    actors: Actors,
    data: StageData,
    start: checkpoints.Progress,
    folder_uri: str,
) -> float:
    """Run the remaining iterations. Returns the seconds spent in rollouts and updates."""
    iteration, buffer = start
    in_steps, every = 0.0, ctx.execution.rl.checkpoint_every_iterations
    collapsed = False
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
        if config.control == "shuffled":
            trajectories = shuffled(trajectories, stable_seed(config.seed, "shuffle", iteration))
        elif config.control == "constant":
            trajectories = [replace(t, rewards=(config.reward.scale / 2,) * len(t.rewards)) for t in trajectories]
        metrics = actors.learner.update(trajectories)
        require_finite(metrics, iteration, config)
        iteration += 1
        in_steps += time.monotonic() - begun
        ctx.reporter.metrics(iteration, _reward_metrics(reward, trajectories) | metrics)
        before, collapsed = collapsed, metrics[ALARM] > 0
        if collapsed and not before:
            ctx.reporter.message(f"iteration {iteration}: {alarm_of(metrics[RANK])}")
        note = f"reward {reward.total.mean():.2f}, kl {metrics.get('rl/kl_reference', metrics['rl/kl']):.3f}"
        ctx.reporter.progress(iteration, config.iterations, note)
        if iteration % every == 0 or iteration == config.iterations:
            checkpoints.save(folder_uri, actors.learner, checkpoints.Progress(iteration, buffer))
    return in_steps


def require_finite(metrics: Mapping[str, float], iteration: int, config: MrlConfig) -> None:
    """Raise StageError if the loss or a gradient norm is not finite, so that such weights are never saved."""
    checked = {name: value for name, value in metrics.items() if name.endswith(("rl/loss", "gradient_norm"))}
    if not all(map(math.isfinite, checked.values())):
        told = ", ".join(f"{name.removeprefix('rl/').replace('_', ' ')} {value:g}" for name, value in checked.items())
        slower = Change("mrl.optimizer.lr", config.optimizer.lr / 2)
        raise StageError(f"not finite in iteration {iteration}: {told}", slower)


def _reward_metrics(reward: Reward, trajectories: Sequence[Trajectory]) -> dict[str, float]:
    values = {
        "rl/reward_mean": reward.total.mean(),
        "rl/reward_min": reward.total.min(),
        "rl/reward_max": reward.total.max(),
        "rl/reward_bleu": reward.bleu.mean(),
        "rl/reward_cosine": reward.cosine.mean(),
        "rl/reward_length": reward.length.mean(),
    }
    turn = torch.tensor([turn for t in trajectories for turn in t.episode.asked])
    values |= {f"rl/reward_turn_{i}": reward.total[turn == i].mean() for i in turn.unique().tolist()}
    return {name: float(value) for name, value in values.items()}


def shuffled(trajectories: Sequence[Trajectory], seed: int) -> list[Trajectory]:
    """The control experiment: the rewards of a batch in random order."""
    rewards = torch.tensor([reward for t in trajectories for reward in t.rewards], dtype=torch.float64)
    order = torch.randperm(len(rewards), generator=torch.Generator().manual_seed(seed))
    parts = rewards[order].split([len(t.rewards) for t in trajectories])
    return [replace(t, rewards=tuple(p.tolist())) for t, p in zip(trajectories, parts, strict=True)]


def _before(actors: Actors, data: StageData, config: MrlConfig, work_uri: str) -> dict:
    """The upstream model's rewards and transcripts on held-out episodes, measured once per attempt."""
    held = storage.read(f"{work_uri}/{HELD_OUT_BEFORE}")
    if held is not None:
        return json.loads(held)
    before = _held_out(actors, data, config, publish(actors.learner, 0))
    storage.write(f"{work_uri}/{HELD_OUT_BEFORE}", json.dumps(before).encode())
    return before


def _held_out(actors: Actors, data: StageData, config: MrlConfig, policy: Policy) -> dict:
    """The mean reward of greedy answers in every held-out episode, and the first transcripts. Version 0 of the policy
    is the upstream model."""
    key = f"held-out-{policy.version}"
    _, trajectories = data.reward(actors.collect(key, data.held_out, policy, 0.0, config.seed))
    when = "before" if policy.version == 0 else "after"
    return {
        "rewards": [sum(t.rewards) / len(t.rewards) for t in trajectories],
        "transcripts": [data.transcript(when, t) for t in trajectories[:TRANSCRIPTS]],
    }
