"""A type checker reads all four packages and what tests share, and finds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT

CHECKER = Path(sys.executable).with_name("pyrefly")
REPORTER = """
from jobs.stage.context import Reporter


class WithoutRemedy:
    def metrics(self, step, values): ...
    def progress(self, done, total, note=""): ...
    def message(self, text): ...
    def file(self, path, folder=""): ...


def report(reporter: Reporter) -> None: ...


report(WithoutRemedy())
"""


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        CHECKER,
        "check",
        "--config",
        ROOT / "pyproject.toml",
        "--python-interpreter-path",
        sys.executable,
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_checker_finds_nothing():
    result = check()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (REPORTER, "bad-argument-type"),
        (REPORTER.replace("message(self, text)", "message(self, text, remedy='')"), ""),
        ("from jobs.stage.context import Look\nLook().stege\n", "missing-attribute"),
        ("from rxt_model.layers.parts import norm\nnorm(4)\n", "missing-argument"),
    ],
)
def test_the_checker_finds_what_it_is_there_for(tmp_path, source, kind):
    """Four reporters of the tests once took `message(text)` without `remedy`. A stage that gave a remedy broke on
    them."""
    path = tmp_path / "sample.py"
    path.write_text(source)
    result = check(path)
    assert (result.returncode != 0) == bool(kind), result.stdout
    assert kind in result.stdout
