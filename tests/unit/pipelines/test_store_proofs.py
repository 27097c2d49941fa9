"""Two results count as the same if they differ in measured times alone."""

from __future__ import annotations

import json

import pytest

from jobs.stage.markdown import table
from tests.benchmarks.operations.store_proofs import without_times


def page(answer: str = "3.1 ms", seconds: str = "9", recall: str = "25 %") -> str:
    latency = table(["turn", "first token"], [["1", answer]])
    stages = table(["stage", "steps", "seconds", "result"], [["sft", "5", seconds, "loss 2.1"]])
    return f"# Report\n\nrecall {recall}\n\n{latency}\n\n{stages}\n\n{table(['arm', 'recall'], [['rxt', recall]])}\n"


def evaluation(seconds: float = 0.5, size: int = 8) -> str:
    return json.dumps({"memory": {"recall": 0.25}, "latency": [{"turn": 1, "rxt_seconds": seconds, "rxt_bytes": size}]})


@pytest.mark.parametrize(
    "name, one, same, other",
    [
        ("report.md", page(), page("1,203.4 ms", "112"), page(recall="26 %")),
        ("report.md", page(recall="0.5"), page(recall="0.5"), page(recall="-0.5")),
        ("README.md", page(), page(seconds="1000"), page().replace("sft", "smat")),
        ("evaluation.json", evaluation(), evaluation(0.75), evaluation(size=9)),
        ("samples.jsonl", "[1]", "[1]", "[2]"),
    ],
)
def test_times_are_left_out_and_nothing_else(tmp_path, name, one, same, other):
    seen = []
    for number, text in enumerate((one, same, other)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        seen.append(without_times(folder / name))
    assert seen[0] == seen[1] != seen[2]
