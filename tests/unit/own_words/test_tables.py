"""Judged answers are counted by group, and what programs and people read agrees with the counts."""

from __future__ import annotations

import json

import pytest

from jobs.evaluation.own_words.playing import Played
from jobs.evaluation.own_words.reader import read_own_words
from jobs.evaluation.own_words.tables import answer_lines, flat_figures, summarise, tally, write_tables
from jobs.evaluation.rates import wilson
from tests.support.own_words.dialogues import dialogue, probe, write_dialogues


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.jsonl"
    never = probe("unknown", (), facts=0, distance=0)
    late = probe("update", ("9",), forbidden=["6"], facts=8, distance=7)
    return read_own_words(
        write_dialogues(
            path,
            dialogue("a"),
            dialogue("b", language="pl", tier="free", attributes="known", probe=late),
            dialogue("c", probe=never),
            dialogue("d", probe=probe(facts=4, distance=5)),
        )
    )


ANSWERS = {("a", 2): "54", ("a", 0): "All right.", ("b", 2): "6", ("c", 2): "I don't know."}


def test_every_question_counts_in_its_groups(own):
    counted = {
        axis: {name: (cell["n"], cell["correct"]) for name, cell in groups.items()}
        for axis, groups in tally(own.dialogues, ANSWERS).items()
    }
    assert counted == {
        "all": {"all": (4, 2)},
        "tier": {"free": (1, 0), "plain": (3, 2)},
        "language": {"en": (3, 2), "pl": (1, 0)},
        "kind": {"recall": (2, 1), "unknown": (1, 1), "update": (1, 0)},
        "attributes": {"known": (1, 0), "new": (3, 2)},
        "facts": {"0-2": (2, 2), "3-5": (1, 0), "6+": (1, 0)},
        "distance": {"1-2": (1, 1), "3-5": (1, 0), "6+": (1, 0), "none": (1, 1)},
    }
    cell = tally(own.dialogues, ANSWERS)["all"]["all"]
    assert (cell["low"], cell["high"]) == wilson(2, 4)
    assert {error: cell[error] for error in ("stale", "mixed", "abstained", "wrong")} == {
        "stale": 1, "mixed": 0, "abstained": 0, "wrong": 1,
    }  # fmt: skip


def test_figures_and_tables_say_what_was_counted(own):
    played = [
        Played({"rxt": ANSWERS, "emptied": {("a", 2): "54"}}, 12, {("a", 0): (5, 9)}),
        Played({"full_history": {("a", 2): "54", ("b", 2): "9", ("d", 2): "54"}, "no_history": {}}, 12, {}),
    ]
    summary = summarise(own, played)
    flat = flat_figures(summary)
    expected = {
        "correct": 0.5,
        "stale": 0.25,
        "correct_emptied": 0.25,
        "correct_full_history": 0.75,
        "correct_en": 2 / 3,
    }
    assert {name: flat[f"own_words/{name}"] for name in expected} == expected
    assert flat["own_words/questions"] == 4 and flat["own_words/cut_turns"] == 1
    text = write_tables(summary)
    assert max(map(len, text.splitlines())) <= 110
    row = next(line for line in text.splitlines() if " all " in line)
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "50.0", "15 to 85", "4", "25.0", "75.0", "0.0", "1", "0", "0",
    ]  # fmt: skip
    assert "1 of 12 turns are longer than the model reads" in text
    assert "read every turn whole" in write_tables(summarise(own, played[1:]))


def test_answers_are_written_with_their_verdicts(own):
    lines = [json.loads(line) for line in answer_lines(own, ANSWERS, {("b", 2): (5, 9)})]
    assert [(line["id"], line["turn"], line.get("verdict")) for line in lines] == [
        ("a", 0, None), ("a", 2, "correct"), ("b", 2, "stale"), ("c", 2, "correct"),
    ]  # fmt: skip
    assert lines[2]["gold"] == ["9"] and lines[2]["read"] == [5, 9] and "read" not in lines[1]
