"""The shape of the code: who may import whom, how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT

PACKAGES = ("rxt_model", "tokenization", "jobs", "pipelines")
FORBIDDEN = {
    "rxt_model": {"ray", "mlflow", "datasets", "pyarrow", "pydantic", "fsspec", "tokenization", "jobs", "pipelines"},
    "tokenization": {"ray", "mlflow", "torch", "pydantic", "rxt_model", "jobs", "pipelines"},
    "jobs": {"mlflow", "pipelines"},
    "pipelines": set(),
}
RAY_IN_PIPELINES = {"runner.py", "submit.py"}
MLFLOW_IN_PIPELINES = {"tracking.py"}
WITHOUT_RAY = {"configs", "data_configs", "context", "train_tokenizer", "text_manifest", "dialogue_manifest",
               "objectives", "batches", "batch_reader", "optimizer", "recall", "export", "episodes", "rewards",
               "replay_buffer"}  # fmt: skip
LONGEST = 400
MOST_FILES = 15


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """First parts of all imported names; imports under TYPE_CHECKING and, if asked, inside functions are left out."""
    found, todo = set(), list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
        elif not (top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_import_direction(package):
    wrong = {str(p.relative_to(ROOT)): bad for p in sources(package) if (bad := imported(p) & FORBIDDEN[package])}
    assert wrong == {}


def test_ray_and_mlflow_in_pipelines_stay_in_their_files():
    for path in sources("pipelines"):
        names = imported(path)
        assert "ray" not in names or path.name in RAY_IN_PIPELINES, path
        assert "mlflow" not in names or path.name in MLFLOW_IN_PIPELINES, path


def test_jobs_that_run_without_ray_do_not_import_it():
    for path in sources("jobs"):
        if path.stem in WITHOUT_RAY or path.parent.name in WITHOUT_RAY:
            assert "ray" not in imported(path), path


def test_planning_imports_nothing_heavy_at_module_level():
    light = [
        "jobs/configs/execution.py",
        "jobs/configs/data.py",
        "jobs/stage/context.py",
        "jobs/stage/ray_setup.py",
        "rxt_model/config.py",
        "pipelines/tracking.py",
    ]
    for name in [
        *light,
        *(f"pipelines/{n}.py" for n in ("cli", "planner", "runner", "session", "artifacts", "submit")),
    ]:
        assert not imported(ROOT / name, top_level_only=True) & {"torch", "ray", "mlflow", "datasets", "pyarrow"}, name


def defined(path: Path) -> set[str]:
    """Names at the top level of a file: definitions, assignments and imports."""
    found, todo = set(), list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", sources("tests/benchmarks"), ids=lambda path: path.stem)
def test_benchmarks_import_what_there_is(path):
    """The suite runs none of them, so a name that moved would be missed."""
    missing = []
    for node in ast.walk(ast.parse(path.read_text())):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            module = ROOT / node.module.replace(".", "/")
            file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
            if node.module.partition(".")[0] in (*PACKAGES, "tests"):
                submodule = (module / f"{alias.name}.py").exists()
                if not submodule and not (file.exists() and alias.name in defined(file)):
                    missing.append(f"{node.module}.{alias.name}")
    assert missing == []


def test_no_file_is_longer_than_one_can_read():
    files = [p for package in (*PACKAGES, "tests") for p in sources(package)]
    assert {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > LONGEST} == {}


def test_tests_import_no_tests():
    """What several of them need is in tests/support, also for the processes that they start."""
    imports = re.compile(r"\b(?:from|import) +(tests\.(?!support|reference)[\w.]+|test_\w+)")
    found = {str(p.relative_to(ROOT)): bad for p in sources("tests") if (bad := imports.findall(p.read_text()))}
    assert found == {}


def test_no_folder_of_tests_has_more_files_than_one_takes_in_at_a_glance():
    folders = Counter(path.parent for path in sources("tests") if "benchmarks" not in path.parts)
    assert {str(p.relative_to(ROOT)): n for p, n in folders.items() if n > MOST_FILES} == {}


def test_package_inits_are_empty():
    assert [package for package in PACKAGES if (ROOT / package / "__init__.py").read_text().strip()] == []


def test_the_model_package_runs_where_ray_mlflow_and_the_data_libraries_are_missing():
    code = """
import importlib, pkgutil, sys
for name in ("ray", "mlflow", "datasets", "pyarrow", "pydantic", "fsspec", "tokenizers"):
    sys.modules[name] = None
import rxt_model
for module in pkgutil.walk_packages(rxt_model.__path__, "rxt_model."):
    importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
