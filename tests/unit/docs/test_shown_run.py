"""The run that the README shows is the one whose recall was measured."""

from __future__ import annotations

import re

from jobs.configs.evaluation import EvaluateConfig
from pipelines.code_digest import ROOT
from tests.benchmarks.result_lines import lines, newest, percent

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^(?P<stage>[a-z-]+) +complete +(?P<artifact>\S+) +(?P<took>[\d.]+ \S+(?: \d+ s)?)  +(?P<result>.+)$", re.M
)
HEADLINE = {"by": "distance", "group": "1-4", "writes": "free-running"}
SHOWN = {row["stage"]: row for row in ROW.finditer(README)}


def answered(arm: str) -> dict:
    return newest("recall", **HEADLINE, arm=arm)


def test_recall_is_the_one_that_was_measured():
    """The stage asks fewer questions than the headline of the results. Lines of the same models have its number."""
    artifact, asked = answered("rxt")["artifact"], 2 * EvaluateConfig().questions
    own, zeroed = (
        next(
            line
            for line in lines("recall")
            if line.items() >= HEADLINE.items() | {("arm", arm), ("artifact", artifact)} and abs(line["n"] - asked) < 5
        )
        for arm in ("rxt", "zeroed")
    )
    assert SHOWN["evaluate"]["result"] == f"recall {percent(own['accuracy'])} (zeroed {percent(zeroed['accuracy'])})"


def test_the_model_is_the_one_that_answered():
    own = answered("rxt")
    last = "mrl" if "mrl" in SHOWN else "smat"
    assert own["artifact"] == f"{last}/{SHOWN[last]['artifact']}"
    assert f"code of `{own['artifact_commit'][:7]}`" in README
    assert SHOWN["export"]["result"] == f"{own['parameters'] / 1e6:.2f} M parameters"
