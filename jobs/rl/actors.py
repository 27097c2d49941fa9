"""Start the actors of stage `mrl`, learners and rollout workers, and deal conversations to workers by a stable hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ray
from ray.actor import ActorHandle

from jobs.configs.execution import RlExecution
from jobs.configs.rl import MrlConfig
from jobs.rl.episodes import Episode, by_length
from jobs.rl.learning.group import LearnerGroup
from jobs.rl.replay_buffer import Sample, Trajectory
from jobs.rl.rollout_worker import RolloutBatch, RolloutWorker
from jobs.rl.weight_sync import Policy
from jobs.stage.resources import Device
from tokenization.hashing import stable_seed


@dataclass(frozen=True)
class Actors:
    """The learners and the rollout workers of one run of the stage."""

    learner: LearnerGroup
    workers: tuple[ActorHandle, ...]

    @classmethod
    def start(
        cls, model_uri: str, work_uri: str, config: MrlConfig, execution: RlExecution, device: Device = "cpu"
    ) -> Actors:
        """Start all actors on `device` with the model at `model_uri`. The workers keep their state below `work_uri`."""
        learner = LearnerGroup(model_uri, config, execution, device)
        worker = ray.remote(
            num_cpus=execution.threads,
            num_gpus=execution.gpu if device == "cuda" else 0,
            max_restarts=execution.max_restarts,
            max_task_retries=execution.max_restarts,
        )(RolloutWorker)
        return cls(
            learner,
            tuple(
                worker.remote(model_uri, f"{work_uri}/workers/{i}.safetensors", execution.threads, device)
                for i in range(execution.rollout_workers)
            ),
        )

    def stop(self) -> None:
        """Kill all actors."""
        self.learner.stop()
        for worker in self.workers:
            ray.kill(worker)

    def collect(
        self, key: str, episodes: Sequence[Episode], policy: Policy, temperature: float, seed: int
    ) -> list[Trajectory]:
        """Play the episodes turn by turn on all workers at once. Returns trajectories in the order of `episodes`.

        `key` must differ between batches. If a batch is cut off, the workers find its memory and answers by its key.
        """
        dealt: list[list[Episode]] = [[] for _ in self.workers]
        for episode in episodes:
            dealt[stable_seed(episode.id) % len(self.workers)].append(episode)
        shares = [(worker, by_length(own)) for worker, own in zip(self.workers, dealt, strict=True) if own]
        busy = [(worker, own, ray.put(RolloutBatch(key, own, temperature, seed))) for worker, own in shares]
        samples: dict[str, list[Sample]] = {episode.id: [] for episode in episodes}
        for turn in range(max(len(episode.turns) for episode in episodes)):
            playing = [(worker, own, batch) for worker, own, batch in busy if len(own[0].turns) > turn]
            answers = ray.get([worker.interact.remote(batch, turn, policy) for worker, _, batch in playing])
            for (_, own, _), rows in zip(playing, answers, strict=True):
                for episode, sample in zip((e for e in own if turn in e.asked), rows, strict=True):
                    samples[episode.id].append(sample)
        return [Trajectory(episode, policy.version, tuple(samples[episode.id])) for episode in episodes]
