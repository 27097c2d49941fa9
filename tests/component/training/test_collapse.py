"""A training raises the alarm when its memory collapses, once, in the metrics and in the log."""

import pytest
import torch

from jobs.training.objectives.base import StepContext
from jobs.training.objectives.collapse import ALARM, EVERY, RANK, rank_metrics
from jobs.training.worker import _logger


def spread(rank, slots=40, dim=20):
    """Memory [2, 3, slots, dim] whose slots lie in `rank` orthogonal directions, equally."""
    directions = torch.eye(dim)[:rank]
    return directions.repeat(-(-slots // rank), 1)[:slots].expand(2, 3, slots, dim)


def context(step, steps=100):
    return StepContext(step, steps, seed=0)


@pytest.mark.parametrize(("rank", "alarm"), [(1, 1), (2, 0), (10, 0)])
def test_a_tenth_of_the_possible_rank_is_the_border(rank, alarm):
    """Of 40 slots of width 20, at most 20 can differ; 2 directions are the tenth itself."""
    found = rank_metrics(spread(rank) * 3, context(0))
    assert found[RANK][0] == pytest.approx(rank / 20, rel=1e-3) and found[ALARM][0] == alarm
    worst = torch.stack((spread(1)[0], spread(20)[0]))  # a single layer that collapsed is enough
    assert rank_metrics(worst, context(0))[ALARM][0] == 1


def test_it_looks_now_and_then_and_at_the_end():
    looks = [step for step in range(96) if rank_metrics(spread(2), context(step, 96))]
    assert looks == [*range(0, 96, EVERY), 95]


class Channel:
    def __init__(self):
        self.told, self.points = [], []

    def metrics(self, step, values):
        self.points.append((step, dict(values)))

    def message(self, text):
        self.told.append(text)


def test_the_log_says_it_when_it_begins_and_not_while_it_lasts():
    channel = Channel()
    log = _logger(channel, 50)
    for step, collapsed in ((10, 0), (20, 1), (30, 0.5), (40, 0), (50, 1)):
        log(step, {ALARM: collapsed, RANK: 0.05})
    log(51, {})
    assert [text.partition(":")[0] for text in channel.told] == ["step 20", "step 50"]
    assert "ALARM" in channel.told[0] and "5.0%" in channel.told[0]
    assert channel.points[1] == (20, {ALARM: 1, RANK: 0.05})
