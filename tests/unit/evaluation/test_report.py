"""What people and programs read in the report of an evaluation."""

from __future__ import annotations

import json

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
        cell = figures["distance_1_to_4"]
        shown = (
            f"{100 * cell['accuracy']:.1f} %",
            f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}",
            str(cell["n"]),
        )
        assert any(all(part in line for part in shown) for line in report.splitlines()), arm
    for part in ("free-running", "chance", "majority", "English", "Polish", "told, then changed", "never told", "turn"):
        assert part.lower() in report.lower()


def test_a_report_needs_no_question_of_a_kind_that_was_not_asked(evaluation):
    asked = json.loads(json.dumps(evaluation))
    for figures in asked["memory"]["arms"].values():
        del figures["by_kind"]["update"], figures["by_kind"]["unknown"]
    report = write_report(asked)
    assert "told once" in report and "told, then changed" not in report


def test_plots_are_drawn_to_be_looked_at(evaluation, tmp_path):
    paths = plots.draw(evaluation, tmp_path / "plots")
    assert {path.stem for path in paths} == {
        "recall_by_distance", "recall_by_facts", "recall_by_kind", "perplexity", "latency_by_turn",
    }  # fmt: skip
    for path in paths:
        with Image.open(path) as image:
            colours = image.convert("RGB").getcolors(1 << 24)
        assert image.width >= 800 and len(colours) > 50


def test_a_single_distance_can_be_plotted(evaluation, tmp_path):
    short = json.loads(json.dumps(evaluation))
    for figures in short["memory"]["arms"].values():
        figures["by_distance"] = {"1": figures["by_distance"]["1"]}
    assert all(path.stat().st_size > 0 for path in plots.draw(short, tmp_path))
