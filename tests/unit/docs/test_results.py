"""Every result line can be traced: its commit is in this repository's history, and its script wrote the line there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

BENCHMARKS = ROOT / "tests/benchmarks"
LINES = [
    (path.stem, number, json.loads(line))
    for path in sorted((BENCHMARKS / "results").glob("*.jsonl"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
]
ENVIRONMENT = {"time", "commit", "device", "python"}
HELPERS = ("record.py", "texts.py", "allocator.py")


def git(*arguments: str) -> str:
    """Return what git says, or nothing if it fails."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS).stdout


@cache
def history() -> frozenset[str]:
    return frozenset(git("rev-list", "HEAD").split())


def no_history() -> str:
    """Return why nothing can be traced here, or nothing if it can."""
    if shutil.which("git") is None:
        return "git is not installed, so that no commit can be looked up"
    if not history() or not ROOT.samefile(git("rev-parse", "--show-toplevel").strip()):
        return "these files are no git checkout, so that no commit can be looked up"
    if git("rev-parse", "--is-shallow-repository").strip() != "false":
        return "this checkout is shallow, so that earlier commits cannot be looked up"
    return ""


needs_history = pytest.mark.skipif(bool(no_history()), reason=no_history())


@cache
def known_fields(script: str, commit: str, fields: frozenset[str]) -> frozenset[str]:
    """Return the fields that the script, or a script it takes figures from, named at that commit. A name may end in
    something that is filled in, such as a language."""
    stems = {field: f"{field.rpartition('_')[0]}_" for field in fields if "_" in field}
    patterns = [part for name in {*fields, *stems.values()} for part in ("-e", name)]
    files = [f"tests/benchmarks/{name}" for name in (f"{script}.py", *HELPERS)]
    found = set(git("grep", "-howF", *patterns, commit, "--", *files, "jobs").split())
    return frozenset(field for field in fields if field in found or stems.get(field) in found)


def faults(script: str, line: dict[str, Any]) -> list[str]:
    """Return why a line is no evidence."""
    found = [f"has no {field!r}" for field in sorted(ENVIRONMENT - set(line))]
    if not {"case", "benchmark"} & set(line):
        found.append("names no case")
    if not any(isinstance(value, int | float | dict) for key, value in line.items() if key not in ENVIRONMENT):
        found.append("has no figures")
    for unit in ("ms", "s"):
        if f"median_{unit}" in line and not {f"min_{unit}", f"max_{unit}"} <= set(line):
            found.append(f"has a median_{unit} without its range")
    for key in ("commit", "artifact_commit"):
        if not re.fullmatch("[0-9a-f]{40}", line.get(key, "0" * 40)):
            found.append(f"{key} {line[key]!r} is not the full id of a commit without changes")
        elif key in line and line[key] not in history():
            found.append(f"{key} {line[key]} is not in the history of this repository")
    if found:
        return found
    if not git("ls-tree", line["commit"], f"tests/benchmarks/{script}.py"):
        return [f"there was no {script}.py at {line['commit']}"]
    fields = frozenset(line)
    return [
        f"{script}.py wrote no {field!r}" for field in sorted(fields - known_fields(script, line["commit"], fields))
    ]


@needs_history
def test_every_line_was_written_by_its_script_at_a_commit_of_this_repository():
    wrong = [f"{script}.jsonl:{number} {fault}" for script, number, line in LINES for fault in faults(script, line)]
    assert wrong == []


def test_there_are_lines_of_the_main_benchmarks():
    assert {"recall", "time_to_first_token", "mrl_reward", "tokenize_job"} <= {script for script, _, _ in LINES}


@needs_history
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"commit": "0" * 40}, "not in the history"),
        ({"commit": "ad3eff564be5af67325136cd8e8f55f35618b13b3"}, "not the full id"),
        ({"commit": git("rev-parse", "HEAD").strip() + "-dirty"}, "not the full id"),
        ({"artifact_commit": ""}, "not the full id"),
        ({"commit": git("rev-list", "--max-parents=0", "HEAD").split("\n")[0]}, "there was no recall.py"),
        ({"device_busy_ms": 159.3}, "wrote no 'device_busy_ms'"),
        ({"device": None}, "has no 'device'"),
        ({"case": None}, "names no case"),
        ({"median_ms": 3.0}, "without its range"),
    ],
)
def test_a_line_that_cannot_be_traced_is_found(change, fault):
    line = next(line for script, _, line in LINES if script == "recall")
    assert faults("recall", line) == []
    planted = {key: value for key, value in (line | change).items() if value is not None}
    assert any(fault in found for found in faults("recall", planted))
