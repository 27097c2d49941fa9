"""Rates, intervals and what guessing scores."""

from __future__ import annotations

import pytest

from jobs.evaluation.rates import Outcome, Question, majority_answers, pooled, rate, tabulate, wilson
from tokenization.records import Probe


def outcome(
    verdict="correct", arm="rxt", kind="recall", distance=1, facts=1, language="en", first=True, gold="cat", turn=6,
    slot="pet", tag="",
):  # fmt: skip
    probe = Probe(turn, slot, kind, (gold,), (), distance, facts, tag)
    return Outcome(Question(0, turn, language, probe, first, 0.1, gold == "cat"), arm, "text", verdict)


def score_roots(correct, n, z=1.959963984540054):
    """Find the same interval from its definition by bisection: where |p_hat - p| = z sqrt(p (1 - p) / n)."""

    def excess(p):
        return (correct / n - p) ** 2 - z * z * p * (1 - p) / n

    def root(inside, outside):
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if excess(middle) < 0 else (inside, middle)
        return (inside + outside) / 2

    p = correct / n
    inside = min(max(p, 1e-12), 1 - 1e-12)
    return (0.0 if p == 0 else root(inside, 0.0)), (1.0 if p == 1 else root(inside, 1.0))


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (5, 10), (1, 1), (280, 312), (3, 1000)])
def test_wilson_solves_the_score_equation(correct, n):
    assert wilson(correct, n) == pytest.approx(score_roots(correct, n), abs=1e-9)


def test_an_interval_holds_its_proportion_exactly():
    for n in range(1, 400):
        for correct in {0, 1, n // 2, n - 1, n}:
            low, high = wilson(correct, n)
            assert 0 <= low <= correct / n <= high <= 1


def test_wilson_by_hand():
    # 81 of 263 is the worked example of Newcombe 1998, table I, method 3: 0.2553 to 0.3662
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_what_is_no_proportion(correct, n):
    with pytest.raises(ValueError, match="is not a proportion"):
        wilson(correct, n)


def test_rate_counts_every_verdict():
    cell = rate([outcome(), outcome("stale"), outcome("wrong", gold="dog"), outcome("abstained")])
    assert (cell["n"], cell["correct"], cell["accuracy"]) == (4, 1, 0.25)
    assert (cell["stale"], cell["abstained"], cell["majority"]) == (0.25, 0.25, 0.75)
    assert cell["chance"] == pytest.approx(0.1)
    assert cell["low"] < 0.25 < cell["high"]


def test_the_headline_holds_near_answerable_questions_alone():
    figures = tabulate(
        [
            outcome(distance=1),
            outcome("wrong", distance=4, first=False),
            outcome("wrong", distance=5),
            outcome("wrong", kind="unknown", distance=0),
        ]
    )["all"]
    assert (figures["distance_1_to_4"]["n"], figures["distance_1_to_4"]["accuracy"]) == (2, 0.5)
    assert {order: (cell["n"], cell["accuracy"]) for order, cell in figures["by_order"].items()} == {
        "first": (1, 1.0),
        "again": (1, 0.0),
    }
    assert {key: cell["n"] for key, cell in figures["by_distance"].items()} == {"1-5": 3}
    assert {key: cell["n"] for key, cell in figures["by_kind"].items()} == {"recall": 3, "unknown": 1}


def test_distances_are_ordered_as_numbers():
    figures = tabulate([outcome(distance=d, turn=11) for d in (10, 2, 1) for _ in range(20)])["all"]
    assert {name: cell["mean"] for name, cell in figures["by_distance"].items()} == {"1": 1, "2": 2, "10": 10}


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ({1: 20, 2: 20}, ["1", "2"]),
        ({1: 5, 2: 14, 3: 1, 4: 30, 5: 3, 7: 2}, ["1-3", "4-7"]),
        ({3: 2}, ["3"]),
        ({}, []),
    ],
)
def test_small_counts_are_pooled_with_their_neighbours(counts, groups):
    names = pooled(counts, 20)
    assert set(names) == set(counts) and list(dict.fromkeys(names.values())) == groups


def test_questions_of_each_generator_and_with_a_tag_are_told_apart():
    told = [outcome(), outcome("wrong", slot="broad/code"), outcome(slot="broad/code", tag="two-facts")]
    figures = tabulate([*told, outcome("wrong", slot="broad/code", kind="unknown", tag="told-later")])
    assert {name: group["distance_1_to_4"]["accuracy"] for name, group in figures.items()} == {
        "all": pytest.approx(2 / 3), "templates": 1.0, "broad": 0.5,
    }  # fmt: skip
    assert {kind: (cell["correct"], cell["n"]) for kind, cell in figures["broad"]["by_kind"].items()} == {
        "recall": (1, 2), "two-facts": (1, 1), "unknown": (0, 1), "told-later": (0, 1),
    }  # fmt: skip


def test_a_group_without_near_questions_has_no_headline():
    assert "distance_1_to_4" not in tabulate([outcome(distance=6)])["templates"]


def test_the_forgetting_matrix_has_a_cell_for_turn_told_and_turn_asked():
    right = [outcome(turn=3, distance=3)] * 40 + [outcome(turn=4, distance=1)] * 30
    wrong = [outcome("wrong", turn=3, distance=2)] * 40 + [outcome("wrong", turn=4, distance=1)] * 10
    assert [
        (cell["told"], cell["asked"], cell["n"], cell["correct"])
        for cell in tabulate(right + wrong)["all"]["forgetting"]
    ] == [("1", "4", 40, 40), ("2", "4", 40, 0), ("4", "5", 40, 30)]


def test_the_majority_is_taken_per_slot_and_language():
    def probe(slot, gold):
        return Probe(1, slot, "recall", (gold,), (), 1, 1)

    told = [("en", probe("pet", g)) for g in ("cat", "dog", "dog")] + [("pl", probe("pet", "kot"))]
    told += [("en", probe("city", g)) for g in ("Rome", "Oslo")]
    assert majority_answers(told) == {("en", "pet"): ("dog",), ("pl", "pet"): ("kot",), ("en", "city"): ("Oslo",)}
