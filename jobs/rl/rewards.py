"""Reward answers by BLEU, cosine of mean token embeddings, and length, exactly and for a whole batch at once.

    R = scale * (w_bleu * BLEU + w_cosine * COS + w_length * LEN),  0 <= R <= scale

BLEU and COS compare the answer with the reference answer and with the previous interaction, which memory should hold.
COS also compares it with the running mean of the interactions before that (arXiv 2510.03561).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.configs.rl import RewardConfig
from jobs.rl.replay_buffer import Trajectory

NGRAM_WEIGHTS = (0.2, 0.2, 0.3, 0.3)
FLOOR = 0.1


class PaddedIds(NamedTuple):
    """Token ids [B, T], padded on the right, and the lengths [B] of the rows."""

    ids: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Which places hold tokens [B, T]."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]

    @classmethod
    def pad(cls, rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> PaddedIds:
        """Pad rows of ids to the longest one, with at least one column."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        ids = torch.zeros(len(rows), max(1, int(lengths.max()) if rows else 1), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        return cls(ids.to(device), lengths.to(device))


class Reward(NamedTuple):
    """The total reward of each answer [B] in [0, scale], and its terms in [0, 1]."""

    total: Tensor
    bleu: Tensor
    cosine: Tensor
    length: Tensor


def bleu(candidate: PaddedIds, reference: PaddedIds) -> Tensor:
    """Sentence BLEU [B] against one reference each (Papineni et al. 2002), in [0, 1].

    If an order has no common n-gram, FLOOR of one counts (method 1 of Chen and Cherry 2014). Without any common token
    the score is 0.
    """
    log_score = torch.zeros(candidate.ids.shape[0], dtype=torch.float64, device=candidate.ids.device)
    unigrams, _ = _clipped_matches(candidate, reference, 1)
    for order, weight in enumerate(NGRAM_WEIGHTS, start=1):
        matches, total = _clipped_matches(candidate, reference, order)
        counted = torch.where(matches == 0, FLOOR, matches.double())
        log_score += weight * (counted / total.clamp(min=1)).log()
    lengths = candidate.lengths.clamp(min=1).double()
    brevity = (1 - reference.lengths / lengths).clamp(max=0).exp()
    score = torch.where(unigrams > 0, brevity * log_score.exp(), 0.0)
    return score.float()


def _clipped_matches(candidate: PaddedIds, reference: PaddedIds, order: int) -> tuple[Tensor, Tensor]:
    """The number of each candidate's n-grams that the reference has too, each counted at most as often as in the
    reference, and the number of all its n-grams; both [B]."""
    own, own_real = _ngrams(candidate, order)
    other, other_real = _ngrams(reference, order)
    total = own_real.sum(1)
    if own.shape[1] == 0:
        return total, total
    same = (own[:, :, None] == own[:, None, :]).all(-1) & own_real[:, None, :]
    earlier = same.tril(-1).sum(-1)
    available = ((own[:, :, None] == other[:, None, :]).all(-1) & other_real[:, None, :]).sum(-1)
    return ((earlier < available) & own_real).sum(1), total


def _ngrams(rows: PaddedIds, order: int) -> tuple[Tensor, Tensor]:
    """All n-grams [B, P, order] and which of them lie within the row [B, P]; P may be 0."""
    if rows.ids.shape[1] < order:
        empty = rows.ids.new_zeros(rows.ids.shape[0], 0)
        return empty[..., None].expand(-1, -1, order), empty.bool()
    return rows.ids.unfold(1, order, 1), rows.mask[:, order - 1 :]


def mean_embedding(rows: PaddedIds, embedding: Tensor) -> Tensor:
    """The mean token embedding of each row [B, d]; zeros for an empty row. `embedding` is [V, d]."""
    total = (embedding[rows.ids] * rows.mask[..., None]).sum(1)
    return total / rows.lengths.clamp(min=1)[:, None]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine [B] of rows [B, d]. Negative values and zero vectors count as 0."""
    return F.cosine_similarity(a, b, dim=-1).clamp(0, 1)


def length_ratio(candidate: PaddedIds, reference: PaddedIds) -> Tensor:
    """min(length / target, target / length) in [0, 1]; 0 for an empty answer."""
    a, b = candidate.lengths.float(), reference.lengths.float()
    return torch.minimum(a, b) / torch.maximum(a, b).clamp(min=1)


def score(
    config: RewardConfig,
    embedding: Tensor,
    answer: PaddedIds,
    reference: PaddedIds,
    previous: PaddedIds,
    older: Tensor,
    has_older: Tensor,
) -> Reward:
    """Rewards of a batch of answers. `older` [B, d] averages the mean embeddings of the interactions before `previous`.
    Where there are none (`has_older` [B] is False), the reference gets their weight."""
    to_reference, to_previous = config.bleu_parts
    bleus = to_reference * bleu(answer, reference) + to_previous * bleu(answer, previous)
    own = mean_embedding(answer, embedding)
    to_reference, to_previous, to_older = config.cosine_parts
    weight_older = torch.where(has_older, to_older, 0.0)
    cosines = (
        (to_reference + to_older - weight_older) * cosine(own, mean_embedding(reference, embedding))
        + to_previous * cosine(own, mean_embedding(previous, embedding))
        + weight_older * cosine(own, older)
    )
    lengths = length_ratio(answer, reference)
    terms = (
        config.bleu * bleus,
        config.cosine * cosines,
        config.length * lengths,
    )
    return Reward(config.scale * sum(terms, torch.zeros_like(bleus)), bleus, cosines, lengths)


def reward_trajectories(
    config: RewardConfig, embedding: Tensor, eos: int, control: Collection[int], trajectories: Sequence[Trajectory]
) -> Reward:
    """Rewards of all answers, trajectory by trajectory. The [EOS] at the end of an answer and the control tokens in
    the interactions that memory holds do not count. Any other control token in an answer counts as a wrong token."""
    answers, references, told, counts, last = [], [], [], [], []
    for trajectory in trajectories:
        asked = trajectory.episode.asked
        last += [len(told) + turn - 1 for turn in asked]
        told += [[i for i in trajectory.told(turn) if i not in control] for turn in range(asked[-1])]
        answers += [_content(sample.answer, eos) for sample in trajectory.samples]
        references += [_content(trajectory.episode.turns[turn].reference, eos) for turn in asked]
        counts.append(asked[-1])
    held = PaddedIds.pad(told)
    means = mean_embedding(held, embedding).split(counts)
    older = torch.cat([_running_mean(rows) for rows in means])[last]
    has_older = torch.cat([torch.arange(count) > 0 for count in counts])[last]
    previous = PaddedIds(held.ids[last], held.lengths[last])
    return score(config, embedding, PaddedIds.pad(answers), PaddedIds.pad(references), previous, older, has_older)


def _content(ids: Sequence[int], eos: int) -> Sequence[int]:
    return ids[:-1] if ids and ids[-1] == eos else ids


def _running_mean(rows: Tensor) -> Tensor:
    """Row i is the mean of the rows before i; zeros for the first."""
    before = rows.cumsum(0) - rows
    return before / torch.arange(len(rows)).clamp(min=1)[:, None]
