"""What people and programs read in the report of an evaluation."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from jobs.evaluation import plots
from jobs.evaluation.report import write_report
from jobs.stage.markdown import table
from tests.support.evaluation_data import make_evaluation


@pytest.fixture(scope="module")
def evaluation():
    return make_evaluation()


def test_tables_are_aligned_and_markdown():
    lines = table(["who", "recall"], [["RxT", "93.0 %"], ["baseline", "4 %"]]).splitlines()
    assert lines == [
        "| who      | recall |",
        "|----------|-------:|",
        "| RxT      | 93.0 % |",
        "| baseline |    4 % |",
    ]


def test_the_report_fits_a_terminal_and_names_every_arm(evaluation):
    report = write_report(evaluation)
    assert max(map(len, report.splitlines())) <= 110
    for arm, figures in evaluation["memory"]["arms"].items():
        cells = [figures[group]["distance_1_to_4"] for group in ("broad", "templates")]
        shown = [
            text
            for cell in cells
            for text in (f"{100 * cell['accuracy']:.1f} %", f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}",
                         str(cell["n"]))
        ]  # fmt: skip
        assert any(re.search(".*".join(map(re.escape, shown)), line) for line in report.splitlines()), arm
    for part in ("free-running", "chance", "majority", "English", "Polish", "changed", "never told", "turn"):
        assert part.lower() in report.lower()


def test_the_report_shows_what_each_stage_did_to_plain_text(evaluation):
    report = write_report(evaluation)
    assert re.search(r"\| pretrain +\| 1,234\.5 \| 1,234\.5 \|\n\| smat +\| +30\.0 \| +30\.0 \|", report)
    assert "uniform guess has a perplexity of 2,560, the size of the vocabulary." in report


def test_a_report_needs_no_question_of_a_kind_that_was_not_asked(evaluation):
    asked = json.loads(json.dumps(evaluation))
    for groups in asked["memory"]["arms"].values():
        for figures in groups.values():
            del figures["by_kind"]["update"], figures["by_kind"]["unknown"]
    report = write_report(asked)
    assert "told once" in report and "held out, changed" not in report


def test_a_report_needs_no_broad_questions(evaluation, tmp_path):
    narrow = json.loads(json.dumps(evaluation))
    for groups in [*narrow["memory"]["arms"].values(), *narrow["memory"]["value_tokens"].values()]:
        del groups["broad"]
    report = write_report(narrow)
    assert "in template" in report and "held out, " not in report
    assert all(path.stat().st_size > 0 for path in plots.draw(narrow, tmp_path))


def test_every_told_turn_of_the_forgetting_matrix_is_a_row(evaluation):
    report = write_report(evaluation)
    for group in ("broad", "templates"):
        for cell in evaluation["memory"]["arms"]["rxt"][group]["forgetting"]:
            shown = f"{100 * cell['accuracy']:.0f} (n {cell['n']})"
            assert any(line.startswith(f"| {cell['told']} ") and shown in line for line in report.splitlines())


def test_facts_per_slot_are_facts_told_times_recall_by_slots(evaluation):
    cell = evaluation["memory"]["arms"]["rxt"]["broad"]["by_facts"]["4"]
    (line,) = (line for line in write_report(evaluation).splitlines() if line.startswith("| held out, 4 ") and
               line.endswith(f"{4 * cell['correct'] / cell['n'] / 64:.3f} |"))  # fmt: skip
    assert str(cell["n"]) in line


def test_plots_are_drawn_to_be_looked_at(evaluation, tmp_path):
    paths = plots.draw(evaluation, tmp_path / "plots")
    assert {path.stem for path in paths} == {
        "recall_by_distance", "recall_by_facts", "recall_by_kind", "forgetting", "slots", "perplexity",
        "perplexity_by_stage", "latency_by_turn",
    }  # fmt: skip
    for path in paths:
        with Image.open(path) as image:
            colours = image.convert("RGB").getcolors(1 << 24)
        assert image.width >= 800 and len(colours) > 50


def test_what_memory_holds_is_shown_as_it_is(evaluation):
    report = write_report(evaluation)
    assert "you> It cost $9 or '''.\nrxt> Noted.\n     held: $9 | cost\n" in report
    assert re.search(r"\| `\$` +\| `\$` 90 % +\| +91 % \| +2 % \| +7 % \|", report)
    silent = json.loads(json.dumps(evaluation))
    silent["memory"]["examples"] = []
    assert "What memory holds" not in write_report(silent)


def test_a_single_distance_can_be_plotted(evaluation, tmp_path):
    short = json.loads(json.dumps(evaluation))
    for groups in short["memory"]["arms"].values():
        for figures in groups.values():
            figures["by_distance"] = {"1": figures["by_distance"]["1"]}
    assert all(path.stat().st_size > 0 for path in plots.draw(short, tmp_path))
