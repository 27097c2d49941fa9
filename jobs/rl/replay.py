"""Trajectories as one batch for the learner: memory is rebuilt from the interactions, with gradient through all writes.

Answers are numbered turn by turn, longest episode first within a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jobs.rl import policy
from jobs.rl.episodes import running
from jobs.rl.replay_buffer import Trajectory
from jobs.rl.rewards import Ids
from rxt_model.model import ReactiveTransformer


class Batch:
    """The answers of E trajectories, at most A each. `mask` [E, A] marks those that exist; `group` [E] numbers
    the conversations; `old` [N] are the answers' tokens' log-probabilities when drawn; `rewards` [E, A]."""

    def __init__(self, trajectories: Sequence[Trajectory], device: torch.device) -> None:
        ordered = sorted(trajectories, key=lambda t: (-len(t.episode.turns), t.episode.id))
        self.episodes = [t.episode for t in ordered]
        names = {name: i for i, name in enumerate(dict.fromkeys(e.group for e in self.episodes))}
        self.group = torch.tensor([names[e.group] for e in self.episodes], device=device)
        turns = len(self.episodes[0].turns)
        answered = [len(t.samples) for t in ordered]
        self.mask = torch.arange(turns - 1) < torch.tensor(answered)[:, None]
        self.mask = self.mask.to(device)
        self.rewards = torch.zeros(self.mask.shape, device=device)
        self.rewards[self.mask] = torch.tensor([r for t in ordered for r in t.rewards], device=device)

        asked = [(t, turn) for turn in range(1, turns) for t in ordered if len(t.episode.turns) > turn]
        self.answers = [t.samples[turn - 1].answer for t, turn in asked]
        self.prompts = [t.episode.turns[turn].prompt for t, turn in asked]
        self.told = [
            [t.episode.told(turn, t.samples[turn - 1].answer if turn else None) for t in ordered[: self.active(turn)]]
            for turn in range(turns)
        ]
        self.turn = torch.tensor([turn for _, turn in asked], device=device)
        self.old = torch.tensor([p for t, turn in asked for p in t.samples[turn - 1].log_probs], device=device)
        states = [(*self.told[turn - 1][row], *e.turns[turn].prompt)
                  for turn in range(1, turns) for row, e in enumerate(self.episodes[: self.active(turn)])]  # fmt: skip
        self.critic_inputs = Ids.pad(states, device)

    def active(self, turn: int) -> int:
        return running(self.episodes, turn)

    def flat(self, dense: Tensor) -> Tensor:
        """[E, A] -> one value per answer, in this batch's order."""
        return dense.T[self.mask.T]

    def dense(self, flat: Tensor) -> Tensor:
        """The reverse, 0 where there is no answer."""
        out = flat.new_zeros(self.mask.T.shape)
        out[self.mask.T] = flat
        return out.T


class Memories(NamedTuple):
    """Per answer: the memory it was read from [L, answers, S, d], and the one before the last write."""

    read: Tensor
    before: Tensor


def rebuild(model: ReactiveTransformer, batch: Batch, seed: int) -> Memories:
    """Encode every interaction at once, then write turn by turn. The last interaction is read by nobody."""
    told = [row for rows in batch.told[:-1] for row in rows]
    rows = Ids.pad(told, model.embedding.weight.device)
    mask = rows.mask
    sizes = [len(rows) for rows in batch.told[:-1]]
    projected = model.project(model.encode(rows.ids, mask), mask).split(sizes, 1)
    memory = policy.initial_memory(model, batch.episodes, seed)
    read, before = [], []
    for turn, (taken, real) in enumerate(zip(projected, mask.split(sizes), strict=True)):
        memory = memory[:, : len(real)]
        updated = model.memory_attention(memory, taken, real)
        following = batch.active(turn + 1)
        read.append(updated[:, :following])
        before.append(memory[:, :following])
        memory = updated
    return Memories(torch.cat(read, 1), torch.cat(before, 1))


def memory_change(memories: Memories) -> Tensor:
    """Mean squared change by the last write, per answer."""
    return (memories.read - memories.before).pow(2).mean((0, 2, 3))


def score(model: ReactiveTransformer, memory: Tensor, batch: Batch, temperature: float) -> policy.TokenScores:
    return policy.score_answers(model, memory, batch.prompts, batch.answers, temperature)
