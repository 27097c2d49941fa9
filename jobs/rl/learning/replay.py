"""Turn trajectories into one batch for the learner, and rebuild their memory with gradients through all writes.

The batch starts with the first answers of all episodes, longest episode first; then come the second answers, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from jobs.rl import policy
from jobs.rl.episodes import Episode
from jobs.rl.replay_buffer import Trajectory
from jobs.rl.rewards import PaddedIds
from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer


class ReplayBatch:
    """The answers of E trajectories, at most A each. `mask` [E, A] says which exist, `group` [E] numbers the
    conversations, `rewards` is [E, A], and `old` [N] has the log-probability of each answer token when it was drawn.

    Memories of one group that got the same interactions are equal, so each is rebuilt only once. `started` has one
    episode for each distinct memory, longest first. `told` has the interactions written to these memories, turn by
    turn. `written` [answers] is the number, over all turns, of the last interaction written before an answer.

    There are at least `turns` turns, the last ones perhaps empty: ranks that share a model must write equally often.
    """

    def __init__(self, trajectories: Sequence[Trajectory], device: torch.device, turns: int = 0) -> None:
        ordered = sorted(trajectories, key=lambda t: (-len(t.episode.turns), t.episode.id))
        self.episodes = [t.episode for t in ordered]
        names = {name: i for i, name in enumerate(dict.fromkeys(e.group for e in self.episodes))}
        self.group = torch.tensor([names[e.group] for e in self.episodes], device=device)
        answered = torch.tensor([len(t.samples) for t in ordered], device=device)
        self.mask = torch.arange(int(answered.max()), device=device) < answered[:, None]
        self.rewards = torch.zeros(self.mask.shape, device=device)
        self.rewards[self.mask] = torch.tensor([r for t in ordered for r in t.rewards], device=device)

        tellings = [
            (t.episode.group, tuple(tuple(t.told(n)) for n in range(len(t.episode.turns) - 1))) for t in ordered
        ]
        first: dict[tuple, Episode] = {}
        for telling, episode in zip(tellings, self.episodes, strict=True):
            first.setdefault(telling, episode)
        self.started = list(first.values())
        place_of = {telling: place for place, telling in enumerate(first)}
        most = max(turns, len(tellings[0][1]))
        self.told = [[told[turn] for _, told in first if len(told) > turn] for turn in range(most)]
        starts = list(accumulate(map(len, self.told), initial=0))
        rows, places = (index.tolist() for index in self.mask.T.nonzero(as_tuple=True)[::-1])
        asked = [self.episodes[row].asked[place] for row, place in zip(rows, places, strict=True)]
        samples = [ordered[row].samples[place] for row, place in zip(rows, places, strict=True)]
        self.answers = [sample.answer for sample in samples]
        self.prompts = [self.episodes[row].turns[turn].prompt for row, turn in zip(rows, asked, strict=True)]
        self.turn = torch.tensor(asked, device=device)
        last = [starts[turn - 1] + place_of[tellings[row]] for row, turn in zip(rows, asked, strict=True)]
        self.written = torch.tensor(last, device=device)
        self.old = torch.tensor([p for sample in samples for p in sample.log_probs], device=device)
        previous = [tellings[row][1][turn - 1] for row, turn in zip(rows, asked, strict=True)]
        states = [(*told, *prompt) for told, prompt in zip(previous, self.prompts, strict=True)]
        self._states = states

    @cached_property
    def critic_inputs(self) -> PaddedIds:
        """What the critic sees for each answer: the previous interaction and the query."""
        return PaddedIds.pad(self._states, self.written.device)

    def flat(self, dense: Tensor) -> Tensor:
        """Reorder values [E, A] to one per answer, in this batch's order."""
        return dense.T[self.mask.T]

    def dense(self, flat: Tensor) -> Tensor:
        """The reverse of `flat`: [answers] to [E, A], 0 where there is no answer."""
        out = flat.new_zeros(self.mask.T.shape)
        out[self.mask.T] = flat
        return out.T


class Memories(NamedTuple):
    """For each answer, the memory that it `read`, and the memory `before` the last write; both [L, answers, S, d]."""

    read: Tensor
    before: Tensor


def rebuild(model: ReactiveTransformer, batch: ReplayBatch, seed: int) -> Memories:
    """Encode all interactions at once, then write them turn by turn; an encoder that reads memory encodes those of a
    turn when they are written. Nothing reads the last interaction, so it is left out."""
    rows = PaddedIds.pad([told for turn in batch.told for told in turn], model.embedding.weight.device)
    whole, mask = remembered(rows.ids, rows.mask, model.config)
    sizes = [len(turn) for turn in batch.told]
    in_order = model.encoder.reads_memory
    projected = [] if in_order else model.project(model.encode(whole, mask), mask).split(sizes, 1)
    memory = policy.initial_memory(model, batch.started, seed)
    read, before = [], []
    for turn, (ids, real) in enumerate(zip(whole.split(sizes), mask.split(sizes), strict=True)):
        held = memory[:, : len(real)]
        taken = model.project(model.encode(ids, real, memory=held), real) if in_order else projected[turn]
        before.append(held)
        memory = model.memory_attention(held, taken, real)
        read.append(memory)
    return Memories(torch.cat(read, 1)[:, batch.written], torch.cat(before, 1)[:, batch.written])


def memory_change(memories: Memories) -> Tensor:
    """The mean squared change of memory by the last write before each answer [answers]."""
    return (memories.read - memories.before).pow(2).mean((0, 2, 3))


def score(model: ReactiveTransformer, memory: Tensor, batch: ReplayBatch, temperature: float) -> policy.TokenScores:
    """Scores of the tokens of the batch's answers, each answered from its `memory` [L, answers, S, d]."""
    return policy.score_answers(model, memory, batch.prompts, batch.answers, temperature)
