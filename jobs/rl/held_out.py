"""Measure whether the reward rises: compare the same held-out episodes, answered greedily, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean with an interval by normal approximation, which fits some hundred values. The interval of a single value
    is infinite."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    half = 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.inf
    return Interval(mean, mean - half, mean + half)


def compare(before: Sequence[float], after: Sequence[float]) -> dict:
    """Mean rewards before and after, and the mean difference per episode, each with its interval."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    return {
        "episodes": len(differences),
        "before": mean_interval(before)._asdict(),
        "after": mean_interval(after)._asdict(),
        "difference": mean_interval(differences)._asdict(),
        "rewards_before": list(before),
        "rewards_after": list(after),
    }
