"""infra/Dockerfile: linted, and with everything in reach that it copies."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

DOCKERFILE = ROOT / "infra" / "Dockerfile"
TEXT = DOCKERFILE.read_text()


def hadolint(file: Path) -> str:
    beside = Path(sys.executable).parent / "hadolint"
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint has no binary for this machine")
    done = subprocess.run([found, "--no-color", str(file)], capture_output=True, text=True, timeout=SECONDS)
    return done.stdout + done.stderr


def test_the_linter_has_nothing_to_say_and_would_say_it(tmp_path):
    assert hadolint(DOCKERFILE) == ""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(TEXT.replace("WORKDIR /opt/rxt", "RUN cd /opt/rxt"))
    assert "DL3003" in hadolint(wrong)


def test_what_is_copied_is_not_ignored_and_all_packages_are_there():
    ignored, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    taken = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (.*) \./$", TEXT, re.MULTILINE) for word in line.split()}
    packages = {pattern.rstrip("*") for pattern in project()["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert ignored == "*" and "**/__pycache__" in rules
    assert taken == copied | packages
    assert [name for name in taken if not (ROOT / name).exists()] == []


def test_the_extras_exist_and_both_targets_end_as_a_user_who_is_not_root():
    (extras,) = set(re.findall(r'"\.\[(.*)\]"', TEXT))
    assert set(extras.split(",")) <= project()["project"]["optional-dependencies"].keys()
    stages = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)
    ends = {stage.split()[2]: stage.strip().splitlines()[-1] for stage in stages[1:]}
    assert {ends["cpu"], ends["cuda"]} == {"USER 1000"}


def test_a_head_demands_a_token():
    stages = [stage for stage in re.split(r"^FROM ", TEXT, flags=re.MULTILINE) if stage.strip().endswith("USER 1000")]
    assert len(stages) == 2 and all("RAY_AUTH_MODE=token" in stage for stage in stages)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
