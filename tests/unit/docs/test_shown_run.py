"""The run that the README shows is the one whose recall was measured and whose losses are on record."""

from __future__ import annotations

import re

import pytest

from pipelines.code_digest import ROOT
from tests.benchmarks.result_lines import newest, percent

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^(?P<stage>[a-z-]+) +complete +(?P<artifact>\S+) +(?P<took>[\d.]+ \S+(?: \d+ s)?)  +(?P<result>.+)$", re.M
)
SHOWN = {row["stage"]: row for row in ROW.finditer(README)}
RECORD = re.compile(
    r"^\| `(?P<stage>[a-z-]+)` \| final (?:loss|reward) \| (?P<before>[\d.]+) \| (?P<after>[\d.]+) \|$", re.M
)
RECORDED = {row["stage"]: row for row in RECORD.finditer((ROOT / "docs/results.md").read_text(encoding="utf-8"))}


def answered(arm: str) -> dict:
    return newest("recall", by="distance", group="1-4", writes="free-running", arm=arm)


def test_recall_is_the_one_that_was_measured():
    own, zeroed = answered("rxt"), answered("zeroed")
    assert SHOWN["evaluate"]["result"] == f"recall {percent(own['accuracy'])} (zeroed {percent(zeroed['accuracy'])})"


def test_the_model_is_the_one_that_answered():
    own = answered("rxt")
    assert own["artifact"] == f"mrl/{SHOWN['mrl']['artifact']}"
    assert f"code of `{own['artifact_commit'][:7]}`" in README
    assert SHOWN["export"]["result"] == f"{own['parameters'] / 1e6:.2f} M parameters"


@pytest.mark.parametrize("stage", ["pretrain", "sft", "memory-pretrain", "smat", "mrl", "baseline"])
def test_losses_and_the_reward_are_those_on_record(stage):
    shown, record = SHOWN[stage]["result"].split()[-1], RECORDED[stage]
    assert shown == f"{float(record['before']):.2f}" and record["before"] == record["after"]
