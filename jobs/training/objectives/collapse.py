"""Notice a memory whose slots have become alike: then it holds one thing, however many slots it has."""

from __future__ import annotations

import torch
from torch import Tensor

from jobs.training.objectives.base import StepContext, metric
from rxt_model.memory.statistics import rank_share

COLLAPSED = 0.1  # of the rank that the slots could have; below it, a training raises the alarm
EVERY = 10  # steps between two looks, and
ROWS = 4  # conversations of each look: singular values cost more than a small model's step
RANK, ALARM = "memory/rank_share", "memory/collapsed"


def rank_metrics(memory: Tensor, context: StepContext) -> dict[str, Tensor]:
    """In every `EVERY`-th step and the last, return the metrics of memory [L, B, S, d] at the end of conversations,
    without marks: its effective rank as a share of the possible one, and whether that is below `COLLAPSED`."""
    if context.step % EVERY and context.step != context.steps - 1:
        return {}
    share, one = rank_share(memory[:, :ROWS].detach()), torch.ones(())
    return {RANK: metric(share, one), ALARM: metric((share < COLLAPSED).float(), one)}


def alarm_of(share: float) -> str:
    """The sentence for the log of a training whose memory has collapsed."""
    return (
        f"ALARM: the slots of the memory have become alike: its effective rank is {share:.1%} of what its slots could "
        f"hold, below {COLLAPSED:.0%}; it remembers next to nothing, whatever the loss says"
    )
