"""Rewards against the textbook formulas, one answer at a time in plain Python."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch
from pydantic import ValidationError

from jobs.configs.rl import RewardConfig
from jobs.rl.episodes import Episode, Turn
from jobs.rl.replay_buffer import Sample, Trajectory
from jobs.rl.rewards import NGRAM_WEIGHTS, PaddedIds, bleu, cosine, length_ratio, mean_embedding, reward_trajectories


def textbook_bleu(candidate: list[int], reference: list[int]) -> float:
    """BLEU of Papineni et al. 2002 for one sentence and one reference, with NLTK's denominators and its smoothing
    method 1."""
    score = 0.0
    for order, weight in enumerate(NGRAM_WEIGHTS, start=1):
        own = Counter(tuple(candidate[i : i + order]) for i in range(len(candidate) - order + 1))
        other = Counter(tuple(reference[i : i + order]) for i in range(len(reference) - order + 1))
        matches = sum(min(count, other[gram]) for gram, count in own.items())
        if order == 1 and matches == 0:
            return 0.0
        score += weight * math.log((matches or 0.1) / max(1, sum(own.values())))
    brevity = 1.0 if len(candidate) > len(reference) else math.exp(1 - len(reference) / len(candidate))
    return brevity * math.exp(score)


PAIRS = [
    ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    ([1, 2, 3], [1, 2, 3]),  # shorter than the longest n-gram
    ([7], [7]),
    ([1, 1, 1, 1, 1, 1], [1, 1, 2, 3]),  # clipping
    ([1, 0, 2, 0, 3], [1, 0, 2, 4, 3]),  # the padding id inside is a token like any other
    ([], [1, 2]),
    ([9, 9], [1, 2, 3]),
    ([1, 2, 3, 4], [1, 2]),  # longer than the reference
    ([3, 1, 2, 9, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
]


def test_bleu_is_the_textbook_bleu_in_a_batch():
    numbers = random.Random(0)
    pairs = PAIRS + [
        ([numbers.randrange(5) for _ in range(numbers.randrange(15))], [numbers.randrange(5) for _ in range(9)])
        for _ in range(50)
    ]
    scores = bleu(PaddedIds.pad([a for a, _ in pairs]), PaddedIds.pad([b for _, b in pairs]))
    expected = [textbook_bleu(a, b) if a else 0.0 for a, b in pairs]
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)
    assert scores[0] == 1


def test_cosine_of_mean_embeddings_counts_real_tokens_only_and_is_never_negative():
    embedding = torch.tensor([[5.0, 5.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    means = mean_embedding(PaddedIds.pad([[1, 2], [1], [3], []]), embedding)
    assert means.tolist() == [[0.5, 0.5], [1, 0], [-1, 0], [0, 0]]
    against = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    assert cosine(means, against).tolist() == pytest.approx([math.sqrt(0.5), 1, 0, 0])


def test_length_ratio_is_symmetric():
    a, b = PaddedIds.pad([[1, 2], [1, 2, 3, 4], [], [1]]), PaddedIds.pad([[1, 2, 3, 4], [1, 2], [1], [1]])
    assert length_ratio(a, b).tolist() == [0.5, 0.5, 0, 1]


def _trajectory(answers, turns):
    episode = Episode("e", tuple(Turn(tuple(p), tuple(r)) for p, r in turns))
    return Trajectory(episode, 0, tuple(Sample(tuple(a), (0.0,) * len(a)) for a in answers))


def test_reward_of_a_whole_trajectory_by_hand():
    """Turn 1 compares with the reference and the first interaction (0.5/0.5), turn 2 also with the running mean."""
    torch.manual_seed(0)
    embedding = torch.randn(30, 6)
    bos, eos, question, reply = 2, 3, 5, 6
    turns = [
        ([bos, question, 11, 12, reply], [13, 14, eos]),
        ([bos, question, 15, reply], [16, 17, 18, eos]),
        ([bos, question, 19, reply], [20, eos]),
    ]
    answers = [[16, 17, 12, eos], [20, 15]]
    config = RewardConfig()
    control = frozenset(range(11))
    reward = reward_trajectories(config, embedding, eos, control, [_trajectory(answers, turns)])

    def mean(ids):
        return embedding[ids].mean(0)

    def similarity(a, b):
        return max(0.0, float(a @ b / (a.norm() * b.norm())))

    first, second = [11, 12, 13, 14], [15, 16, 17, 18]  # memory is told the reference, not the sampled answer
    own = [[16, 17, 12], [20, 15]]
    bleus = [
        0.4 * textbook_bleu(own[0], [16, 17, 18]) + 0.6 * textbook_bleu(own[0], first),
        0.4 * textbook_bleu(own[1], [20]) + 0.6 * textbook_bleu(own[1], second),
    ]
    cosines = [
        0.5 * similarity(mean(own[0]), mean([16, 17, 18])) + 0.5 * similarity(mean(own[0]), mean(first)),
        0.3 * similarity(mean(own[1]), mean([20]))
        + 0.5 * similarity(mean(own[1]), mean(second))
        + 0.2 * similarity(mean(own[1]), mean(first)),
    ]
    lengths = [1.0, 0.5]
    total = [10 * (0.4 * b + 0.5 * c + 0.1 * n) for b, c, n in zip(bleus, cosines, lengths, strict=True)]
    assert reward.bleu.tolist() == pytest.approx(bleus, abs=1e-6)
    assert reward.cosine.tolist() == pytest.approx(cosines, abs=1e-6)
    assert reward.total.tolist() == pytest.approx(total, abs=1e-5)


def test_running_mean_weighs_earlier_interactions_equally():
    embedding = torch.eye(20)
    turns = [([2, 5, 11 + i, 6], [3]) for i in range(4)]
    config = RewardConfig(bleu=0, cosine=1, length=0, cosine_parts=(0, 0, 1), scale=1)
    reward = reward_trajectories(config, embedding, 3, frozenset(range(11)), [_trajectory([[11], [11], [11]], turns)])
    # the third answer sees the mean of interactions 0 and 1: one axis of two equal ones
    assert reward.total[1:].tolist() == pytest.approx([1.0, math.sqrt(0.5)])


def test_rewards_stay_within_the_scale():
    generator = torch.Generator().manual_seed(1)
    draw = lambda: torch.randint(0, 12, (torch.randint(1, 9, (1,), generator=generator),), generator=generator)  # noqa: E731
    trajectories = [
        _trajectory([draw().tolist() for _ in range(3)], [([2, 5, *draw().tolist(), 6], [*draw().tolist(), 3])] * 4)
        for _ in range(20)
    ]
    reward = reward_trajectories(RewardConfig(), torch.randn(12, 4), 3, frozenset(), trajectories)
    assert len(reward.total) == 60
    assert reward.total.min() >= 0
    assert reward.total.max() <= 10
    same = [_trajectory([[7, 8, 9, 7, 3]], [([], [7, 8, 9, 7]), ([], [7, 8, 9, 7, 3])])]
    assert reward_trajectories(RewardConfig(), torch.randn(12, 4), 3, frozenset(), same).total.item() == pytest.approx(
        10, abs=1e-4
    )


@pytest.mark.parametrize(
    "changed", [{"bleu": 0.5}, {"bleu_parts": (0.5, 0.6)}, {"cosine_parts": (0.3, 0.3, 0.3)}, {"length": None}]
)
def test_weights_that_do_not_sum_to_one_are_refused(changed):
    with pytest.raises(ValidationError, match=next(iter(changed))):
        RewardConfig(**changed)
