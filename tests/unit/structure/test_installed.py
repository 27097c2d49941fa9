"""The packages as a wheel leaves them: in a folder without pyproject.toml, inside somebody else's repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.code_digest import PACKAGES, ROOT
from tests.support.processes import SECONDS

CODE = """
import json
from pipelines.provenance import provenance
from pipelines.session import store_url, tracking_uri
from tokenization.files.cache import cache_folder
made = provenance("jobs.tokenizer:train")
print(json.dumps({"store": store_url(), "curves": tracking_uri(), "cache": str(cache_folder()),
                  "commit": made["commit"], "packages": sorted(made["packages"])}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Give a folder with our packages, inside a repository that is not ours."""
    outer = tmp_path_factory.mktemp("outer")
    for package in (*PACKAGES, "pipelines"):
        shutil.copytree(ROOT / package, outer / "site" / package, ignore=shutil.ignore_patterns("__pycache__"))
    for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -q -m theirs"):
        subprocess.run(["git", *words.split()], cwd=outer, check=True, timeout=SECONDS)
    return outer / "site"


def test_a_wheel_keeps_its_results_in_the_current_folder_and_names_no_foreign_commit(installed, tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RXT_", "MLFLOW_"))}
    environment = own | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    found = json.loads(done.stdout or "{}")
    assert found.get("store") == f"{tmp_path}/.rxt/artifacts", done.stderr
    assert found["curves"] == f"sqlite:///{tmp_path}/.rxt/mlflow.db" and found["cache"] == f"{tmp_path}/.rxt/cache"
    assert found["commit"] == "" and {"torch", "ray", "mlflow"} <= set(found["packages"])
