"""The set-up of the environment, with a Python that only notes what it was asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
    "-m venv --clear .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip --version") test -e "{pip}" ;;
esac
"""
WITHOUT_PIP = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def setup(tmp_path):
    """Run what `make demo` and `make test` begin with, and return what Python was asked."""
    log, pip = tmp_path / "log", tmp_path / "pip"
    pip.touch()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    _program(tmp_path / "python", PYTHON.format(log=log, pip=pip))

    def make() -> list[str]:
        log.write_text("")
        command = ["make", "--silent", ".venv/.installed", f"PYTHON={tmp_path}/python"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=SECONDS)
        return [line for line in log.read_text().splitlines() if line.startswith("-m")]

    return make


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_an_environment_that_was_left_without_pip_is_made_anew(setup, tmp_path):
    _program(tmp_path / ".venv/bin/python", WITHOUT_PIP)  # what a Debian without python3-venv leaves
    assert [line.split()[1] for line in setup()] == ["venv", "pip"]
    assert setup() == []


def test_an_environment_with_pip_is_kept(setup, tmp_path):
    _program(tmp_path / ".venv/bin/python", (tmp_path / "python").read_text())
    assert "venv" not in [line.split()[1] for line in setup()]
