"""Turn single verdicts into rates with intervals, beside the scores that guessing would reach on the same questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from tokenization.records import Language, Probe

HEADLINE = range(1, 5)
"""The headline recall figure covers these distances, in interactions."""
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Question:
    """One question about memory: its place, and what a guess would score.

    `first`: no earlier question of the conversation had the same answer. It matters because an answered question writes
    the fact to memory again. `chance`: the probability that a uniform guess among the slot's values is right.
    `majority`: whether the slot's most frequent answer is right.
    """

    conversation: int
    turn: int
    language: Language
    probe: Probe
    first: bool
    chance: float
    majority: bool


@dataclass(frozen=True)
class Outcome:
    """The answer of one arm to a question; `verdict` is correct, stale, wrong or abstained."""

    question: Question
    arm: str
    answer: str
    verdict: str


def wilson(correct: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), as fractions. Raises ValueError unless 0 <= correct <= n
    and n > 0."""
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"{correct} of {n} is not a proportion")
    p, square = correct / n, z * z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * sqrt(p * (1 - p) / n + square / (4 * n * n))
    # at 0 and n the ends are exact: rounding must not exclude the proportion itself
    return (middle - half if correct else 0.0), (middle + half if correct < n else 1.0)


def majority_answers(probes: Iterable[tuple[Language, Probe]]) -> dict[tuple[Language, str], tuple[str, ...]]:
    """The most frequent gold answer of each slot and language; among equals, the first in the alphabet."""
    counts: dict[tuple[Language, str], Counter[tuple[str, ...]]] = {}
    for language, probe in probes:
        counts.setdefault((language, probe.slot), Counter())[probe.gold] += 1
    return {key: min(c, key=lambda gold: (-c[gold], gold)) for key, c in counts.items()}


def rate(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """One cell of a table: n, correct, accuracy with its 95 % interval, kinds of errors, chance and majority."""
    n = len(outcomes)
    verdicts = Counter(o.verdict for o in outcomes)
    low, high = wilson(verdicts["correct"], n)
    return {
        "n": n,
        "correct": verdicts["correct"],
        "accuracy": verdicts["correct"] / n,
        "low": low,
        "high": high,
        "stale": verdicts["stale"] / n,
        "abstained": verdicts["abstained"] / n,
        "chance": sum(o.question.chance for o in outcomes) / n,
        "majority": sum(o.question.majority for o in outcomes) / n,
    }


def _split(outcomes: Iterable[Outcome], key: Callable[[Outcome], Any]) -> dict[str, dict[str, float]]:
    groups: dict[Any, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(key(outcome), []).append(outcome)
    return {str(name): rate(groups[name]) for name in sorted(groups)}


def tabulate(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one arm. Questions without an answer (`unknown`) count only under `by_kind`."""
    known = [o for o in outcomes if o.question.probe.kind != "unknown"]
    headline = [o for o in known if o.question.probe.distance in HEADLINE]
    return {
        "distance_1_to_4": rate(headline),
        "by_order": _split(headline, lambda o: "first" if o.question.first else "again"),
        "by_distance": _split(known, lambda o: o.question.probe.distance),
        "by_facts": _split(known, lambda o: o.question.probe.facts),
        "by_language": _split(known, lambda o: o.question.language),
        "by_kind": _split(outcomes, lambda o: o.question.probe.kind),
    }
