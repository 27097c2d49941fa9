"""Keep trajectories between rollout and update, each with the version of the policy that made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from jobs.rl.episodes import Episode, Turn
from jobs.training.batching.reader import Share


@dataclass(frozen=True)
class Sample:
    """One sampled answer: its token ids, with [EOS] if it was reached, and each token's log-probability when drawn."""

    answer: tuple[int, ...]
    log_probs: tuple[float, ...]


@dataclass(frozen=True)
class Trajectory:
    """An episode with the answers to its asked turns; `rewards` has one number per answer."""

    episode: Episode
    policy_version: int
    samples: tuple[Sample, ...]
    rewards: tuple[float, ...] = ()

    @property
    def answers(self) -> dict[int, tuple[int, ...]]:
        """The policy's answers by turn."""
        return {turn: sample.answer for turn, sample in zip(self.episode.asked, self.samples, strict=True)}

    def told(self, turn: int) -> Sequence[int]:
        """The interaction that was written to memory after `turn`."""
        return self.episode.told(turn, self.answers.get(turn))


def dealt(trajectories: Sequence[Trajectory], parts: int) -> list[list[Trajectory]]:
    """Deal out whole conversations, the longest first, so that parts get about equally many turns. What is compared
    with each other stays together. Raises ValueError if there are fewer conversations than parts."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.episode.group, []).append(trajectory)
    if len(groups) < parts:
        raise ValueError(f"{len(groups)} conversations cannot be dealt to {parts}")
    ordered = sorted(groups.values(), key=lambda group: (-len(group[0].episode.turns), group[0].episode.id))
    return [
        [trajectory for place in Share(part, parts).places(len(ordered)) for trajectory in ordered[place]]
        for part in range(parts)
    ]


class ReplayBuffer:
    """Holds trajectories in order. Saving and loading gives the same trajectories bit for bit."""

    def __init__(self, trajectories: Iterable[Trajectory] = ()) -> None:
        self._trajectories = list(trajectories)

    def __len__(self) -> int:
        return len(self._trajectories)

    def add(self, trajectories: Iterable[Trajectory]) -> None:
        """Append trajectories."""
        self._trajectories.extend(trajectories)

    def take(self, policy_version: int) -> list[Trajectory]:
        """Remove and return all trajectories. Raises ValueError for trajectories of another policy version, since both
        algorithms learn from what the current policy did."""
        wrong = sorted({t.policy_version for t in self._trajectories} - {policy_version})
        if wrong:
            raise ValueError(f"trajectories of policy version {wrong}, but the policy has version {policy_version}")
        taken, self._trajectories = self._trajectories, []
        return taken

    def to_json(self) -> str:
        """The trajectories as JSON."""
        return json.dumps([asdict(t) for t in self._trajectories])

    @classmethod
    def from_json(cls, text: str) -> ReplayBuffer:
        """The buffer that `to_json` wrote."""
        return cls(
            Trajectory(
                Episode(
                    t["episode"]["id"],
                    tuple(Turn(tuple(u["prompt"]), tuple(u["reference"]), u["asked"]) for u in t["episode"]["turns"]),
                    t["episode"]["group"],
                ),
                t["policy_version"],
                tuple(Sample(tuple(s["answer"]), tuple(s["log_probs"])) for s in t["samples"]),
                tuple(t["rewards"]),
            )
            for t in json.loads(text)
        )
