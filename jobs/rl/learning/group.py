"""One or several learners that act as one: every call goes to all ranks, which learn from shares of the conversations.

The driver keeps the store in which the ranks find each other. A rank that dies takes its group along: the others notice
at once, and their calls fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
import torch.distributed as dist
from ray import ObjectRef
from ray.actor import ActorHandle

from jobs.configs.execution import RlExecution
from jobs.configs.rl import MrlConfig
from jobs.rl.learning.learner import Learner
from jobs.rl.replay_buffer import Trajectory, dealt
from jobs.stage.resources import Device


class RankedLearner(Learner):
    """A learner that joins a process group first. `store` is host and port of the group's store."""

    def __init__(self, rank: int, ranks: int, store: tuple[str, int], device: Device, **arguments: Any) -> None:
        host, port = store
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=dist.TCPStore(host, port, is_master=False),
            rank=rank,
            world_size=ranks,
        )
        super().__init__(device=device, **arguments)


class LearnerGroup:
    """The learners of one run of stage `mrl`."""

    def __init__(self, model_uri: str, config: MrlConfig, execution: RlExecution, device: Device) -> None:
        ranks = execution.learners
        # rollouts and updates take turns, so learners reserve no CPUs and use the workers' CPUs
        threads = max(1, execution.threads * execution.rollout_workers // ranks)
        arguments = dict(model_uri=model_uri, config=config, threads=threads, device=device, layout=execution)
        options = ray.remote(num_cpus=0, num_gpus=execution.gpu if device == "cuda" else 0)
        if ranks == 1:
            self.ranks: list[ActorHandle] = [options(Learner).remote(**arguments)]
            return
        host = ray.util.get_node_ip_address()
        self._store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
        place = host, self._store.port
        self.ranks = [options(RankedLearner).remote(rank, ranks, place, **arguments) for rank in range(ranks)]

    def weights(self, version: int) -> ObjectRef:
        """The weights of policy `version`, as an object that does not pass through the driver."""
        return [rank.weights.remote(version) for rank in self.ranks][0]

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Learn from a batch, and return metrics over all of it."""
        shares = dealt(trajectories, len(self.ranks))
        return self._all([rank.update.remote(share) for rank, share in zip(self.ranks, shares, strict=True)])

    def save(self, folder_uri: str) -> None:
        """Write a checkpoint that a group of any size can load."""
        self._all([rank.save.remote(folder_uri) for rank in self.ranks])

    def load(self, folder_uri: str, version: int) -> None:
        """Read a checkpoint, as policy `version`."""
        self._all([rank.load.remote(folder_uri, version) for rank in self.ranks])

    def export(self, folder_uri: str) -> None:
        """Write the policy as a model folder."""
        self._all([rank.export.remote(folder_uri) for rank in self.ranks])

    def stop(self) -> None:
        """Kill all learners."""
        for rank in self.ranks:
            ray.kill(rank)

    @staticmethod
    def _all(calls: list[ObjectRef]) -> Any:
        """Wait for all ranks, and return what the first returned. An error of any rank is raised at once, since the
        others may wait for that rank."""
        waiting = calls
        while waiting:
            ready, waiting = ray.wait(waiting)
            ray.get(ready)
        return ray.get(calls[0])
