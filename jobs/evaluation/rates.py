"""Turn single verdicts into rates with intervals, beside the scores that guessing would reach on the same questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from tokenization.records import Language, Probe

HEADLINE = range(1, 5)
"""The headline recall figure covers these distances, in interactions."""
Z_95 = 1.959963984540054
LEAST = 20
"""Neighbouring distances, numbers of facts and turns are pooled until a cell has so many questions."""


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


def proportion(correct: int, n: int) -> dict[str, float]:
    """The smallest cell of a table: n, correct, and accuracy with its 95 % interval. Raises ValueError as `wilson`."""
    low, high = wilson(correct, n)
    return {"n": n, "correct": correct, "accuracy": correct / n, "low": low, "high": high}


def rate(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """One cell of a table: a proportion, the kinds of errors, chance and majority."""
    n = len(outcomes)
    verdicts = Counter(o.verdict for o in outcomes)
    return proportion(verdicts["correct"], n) | {
        "stale": verdicts["stale"] / n,
        "abstained": verdicts["abstained"] / n,
        "chance": sum(o.question.chance for o in outcomes) / n,
        "majority": sum(o.question.majority for o in outcomes) / n,
    }


def pooled(counts: Mapping[int, int], least: int = LEAST) -> dict[int, str]:
    """The name of the group of each number, such as `5` or `5-7`. Neighbours are pooled, from the smallest on, until
    they have `least` together; what is left at the end joins the group before it."""
    groups: list[list[int]] = []
    gathered = least
    for number in sorted(counts):
        if gathered >= least:
            groups.append([])
            gathered = 0
        groups[-1].append(number)
        gathered += counts[number]
    if len(groups) > 1 and gathered < least:
        last = groups.pop()
        groups[-1] += last
    return {n: str(n) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups for n in group}


def tabulate(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one arm: of all its questions (`all`), and of those of each generator (`templates`: sentences of
    training; `broad`: sentences, attributes and values that training never saw)."""
    groups = {"all": list(outcomes)}
    for outcome in outcomes:
        groups.setdefault(outcome.question.probe.generator, []).append(outcome)
    return {name: _figures(found) for name, found in groups.items()}


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Cells by axis. Questions without an answer (`unknown`) count only under `by_kind`; `distance_1_to_4`, the
    headline, is missing if no question lies there. In `by_kind`, questions with a tag also count under their tag."""
    known = [o for o in outcomes if o.question.probe.kind != "unknown"]
    headline = [o for o in known if o.question.probe.distance in HEADLINE]
    tagged = [o for o in outcomes if o.question.probe.tag]
    figures = {
        "by_order": _split(headline, lambda o: "first" if o.question.first else "again"),
        "by_distance": _pooled(known, lambda o: o.question.probe.distance),
        "by_facts": _pooled(known, lambda o: o.question.probe.facts),
        "by_language": _split(known, lambda o: o.question.language),
        "by_kind": _split(outcomes, lambda o: o.question.probe.kind) | _split(tagged, lambda o: o.question.probe.tag),
        "forgetting": _forgetting(known),
    }
    return ({"distance_1_to_4": rate(headline)} if headline else {}) | figures


def _split(outcomes: Iterable[Outcome], key: Callable[[Outcome], Any]) -> dict[str, dict[str, float]]:
    groups: dict[Any, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(key(outcome), []).append(outcome)
    return {str(name): rate(groups[name]) for name in sorted(groups)}


def _pooled(outcomes: Sequence[Outcome], number: Callable[[Outcome], int]) -> dict[str, dict[str, float]]:
    """Cells by a number, small ones pooled, in order. `mean` is the mean number of a cell."""
    names = pooled(Counter(map(number, outcomes)))
    groups: dict[str, list[Outcome]] = {name: [] for name in names.values()}
    for outcome in outcomes:
        groups[names[number(outcome)]].append(outcome)
    return {name: rate(found) | {"mean": sum(map(number, found)) / len(found)} for name, found in groups.items()}


def _forgetting(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The forgetting matrix: a cell for each turn in which facts were told and each in which they were asked. Turns
    count from 1, and small cells are pooled."""
    turns = [(o.question.turn + 1 - o.question.probe.distance, o.question.turn + 1) for o in outcomes]
    told, asked = (pooled(Counter(pair[i] for pair in turns), 2 * LEAST) for i in (0, 1))
    rows, columns = (list(dict.fromkeys(names.values())) for names in (told, asked))
    cells: dict[tuple[int, int], list[bool]] = {}
    for outcome, (first, second) in zip(outcomes, turns, strict=True):
        place = rows.index(told[first]), columns.index(asked[second])
        cells.setdefault(place, []).append(outcome.verdict == "correct")
    return [
        {"told": rows[i], "asked": columns[j]} | proportion(sum(right), len(right))
        for (i, j), right in sorted(cells.items())
    ]
