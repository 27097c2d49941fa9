"""Every result line can be traced: its commit is in this repository's history, and its script, as it was there, knows
the fields and the case of the line. The values are not checked: that takes another run of the script."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from datetime import datetime
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
def imported(path: str, commit: str) -> frozenset[str]:
    """Return the files in tests/benchmarks and jobs that a file imported at that commit."""
    names = set()
    for node in ast.walk(ast.parse(git("show", f"{commit}:{path}"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = {f"{name.replace('.', '/')}.py" for name in names}
    beside = {f"tests/benchmarks/{place}" for place in places}  # where scripts imported each other by name alone
    return frozenset(files(commit) & (places | beside))


@cache
def files(commit: str) -> frozenset[str]:
    return frozenset(git("ls-tree", "-r", "--name-only", commit, "--", "tests/benchmarks", "jobs").split())


def paths(script: str, commit: str) -> set[str]:
    """Return where a script was at that commit: in one place of tests/benchmarks, or nowhere."""
    places = {path for path in files(commit) if path.startswith("tests/benchmarks/")}
    return {path for path in places if path.endswith(f"/{script}.py")}


@cache
def reached(script: str, commit: str) -> frozenset[str]:
    """Return a script, and all files that it reached at that commit through its imports."""
    found, todo = set(), paths(script, commit)
    while todo:
        found |= todo
        todo = {name for path in todo for name in imported(path, commit)} - found
    return frozenset(found)


@cache
def named(script: str, commit: str, names: frozenset[str]) -> frozenset[str]:
    """Return which of these names the script, or a file that it imports, had at that commit. A name may begin or end
    in something that is filled in, such as a language: then its stem stands there, up to or from an underscore."""
    stems = {name: {f"{name.rpartition('_')[0]}_", f"{name.partition('_')[0]}_"} for name in names if "_" in name}
    patterns = [part for name in names.union(*stems.values()) for part in ("-e", name)]
    found = set(git("grep", "-howF", *patterns, commit, "--", *reached(script, commit)).split())
    return frozenset(name for name in names if name in found or stems.get(name, set()) & found)


def is_time(found: object) -> bool:
    """Tell whether this is a moment: as ISO 8601 writes it, with its zone, or in seconds since 1970, as early scripts
    wrote it."""
    try:
        return isinstance(found, int | float) or datetime.fromisoformat(str(found)).tzinfo is not None
    except ValueError:
        return False


def faults(script: str, line: dict[str, Any]) -> list[str]:
    """Return why a line is no evidence."""
    found = [f"has no {field!r}" for field in sorted(ENVIRONMENT - set(line))]
    if not {"case", "benchmark"} & set(line):
        found.append("names no case")
    if not is_time(line.get("time")):
        found.append(f"time {line.get('time')!r} is no moment")
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
    if not paths(script, line["commit"]):
        return [f"there was no {script}.py at {line['commit']}"]
    fields = frozenset({*line, *(line[key] for key in ("case", "benchmark") if key in line)})
    return [f"{script}.py wrote no {field!r}" for field in sorted(fields - named(script, line["commit"], fields))]


@needs_history
def test_every_line_was_written_by_its_script_at_a_commit_of_this_repository():
    wrong = [f"{script}.jsonl:{number} {fault}" for script, number, line in LINES for fault in faults(script, line)]
    assert wrong == []


@needs_history
@pytest.mark.parametrize("commit", ["HEAD", "e5ef784589331775ef6f18702b3d25227ac2ece4"])
def test_a_script_is_found_in_its_room_and_where_it_was_before(commit):
    assert len(paths("recall", commit)) == 1
    assert {"tests/benchmarks/record.py", "jobs/evaluation/recall.py"} <= reached("recall", commit)


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
        ({"fill": 0.9}, "wrote no 'fill'"),
        ({"case": "dense"}, "wrote no 'dense'"),
        ({"time": "yesterday"}, "is no moment"),
        ({"time": "2026-11-28T11:11:53"}, "is no moment"),
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
