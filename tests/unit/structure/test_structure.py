"""The shape of the code: who may import whom, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

PACKAGES = ("rxt_model", "tokenization", "jobs", "pipelines")
FORBIDDEN = {
    "rxt_model": {"ray", "mlflow", "datasets", "pyarrow", "pydantic", "fsspec", "tokenization", "jobs", "pipelines"},
    "tokenization": {"ray", "mlflow", "torch", "pydantic", "rxt_model", "jobs", "pipelines"},
    "jobs": {"mlflow", "pipelines"},
    "pipelines": set(),
}
MAY_IMPORT = {
    "ray": """
        jobs/rl/actors.py jobs/rl/learning/group.py jobs/rl/weight_sync.py jobs/shards/job.py
        jobs/stage/ray_setup.py jobs/stage/ray_watch.py jobs/stage/resources.py jobs/stage/tasks.py
        jobs/training/fit.py jobs/training/monitor.py jobs/training/worker.py pipelines/cluster.py
    """,
    "mlflow": "pipelines/tracker/database.py pipelines/tracker/models.py pipelines/tracking.py",
}
HEAVY = {"torch", "ray", "mlflow", "datasets", "pyarrow", "tokenizers", "matplotlib"}
# their commands import them when they are called
MAY_START_HEAVY = {
    "pipelines/chat.py",
    "pipelines/kept_memory.py",
    "pipelines/memory_table.py",
    "pipelines/thinking.py",
    "pipelines/estimate/plan.py",
    "pipelines/estimate/report.py",
    "pipelines/own_words.py",
    "pipelines/first_rows.py",
    "pipelines/preview.py",
    "pipelines/preview_texts.py",
}
LONGEST = 400
MOST_FILES = 15
MOST_AT_THE_TOP_OF_JOBS = 8
FLAT = "pipelines"  # no room by decision: planner, store, run and view are one program, and any cut parts neighbours


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def modules(path: Path, at_start: bool = False) -> set[str]:
    """Return the names of all modules that a file imports, also if `from a import b` may mean the module a.b. Imports
    under TYPE_CHECKING are left out and, with `at_start`, those inside functions."""
    found, todo = set(), list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
        elif not (at_start and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            todo += ast.iter_child_nodes(node)
    return found


def libraries(path: Path, at_start: bool = False) -> set[str]:
    return {module.partition(".")[0] for module in modules(path, at_start)}


@pytest.mark.parametrize("package", PACKAGES)
def test_import_direction(package):
    wrong = {str(p.relative_to(ROOT)): bad for p in sources(package) if (bad := libraries(p) & FORBIDDEN[package])}
    assert wrong == {}


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_only_listed_files_import_the_library_and_all_of_them_do(library):
    files = {str(p.relative_to(ROOT)) for package in PACKAGES for p in sources(package) if library in libraries(p)}
    assert files == set(MAY_IMPORT[library].split())


def test_the_command_line_starts_without_anything_heavy():
    """Nothing in pipelines imports a heavy library at module level, neither directly nor through our other modules."""
    todo = [path for path in sources("pipelines") if str(path.relative_to(ROOT)) not in MAY_START_HEAVY]
    reached = set(todo)
    while todo:
        path = todo.pop()
        found = modules(path, at_start=True)
        heavy = {name.partition(".")[0] for name in found} & HEAVY
        assert not heavy, f"{path.relative_to(ROOT)} imports {heavy} at module level"
        new = {file for name in found if (file := ROOT.joinpath(*name.split(".")).with_suffix(".py")).exists()}
        todo += new - reached
        reached |= new
    assert ROOT / "jobs/configs/base.py" in reached


def test_the_checks_of_a_gpu_need_neither_ray_nor_mlflow():
    """Such a machine may have neither."""
    todo = [ROOT / "tests" / "gpu" / "check.py"]
    reached = set(todo)
    while todo:
        path = todo.pop()
        found = modules(path, at_start=True)
        missing = {name.partition(".")[0] for name in found} & {"ray", "mlflow", "datasets"}
        assert not missing, f"{path.relative_to(ROOT)} imports {missing} at module level"
        new = {file for name in found if (file := ROOT.joinpath(*name.split(".")).with_suffix(".py")).exists()}
        todo += new - reached
        reached |= new
    assert ROOT / "jobs/training/loop.py" in reached


def defined(path: Path) -> set[str]:
    """Return the names at the top level of a file: definitions, assignments and imports."""
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
    """The suite does not run them, so it would miss a name that moved."""
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


def types_named_in(path: Path) -> list[str]:
    """Return the public classes at the top level of a file, and the names that it gives to other types."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in found if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)]


def test_a_name_of_a_class_or_type_means_one_thing():
    files = [path for package in PACKAGES for path in sources(package)]
    named = [(name, str(path.relative_to(ROOT))) for path in files for name in types_named_in(path)]
    times = Counter(name for name, _ in named)
    assert sorted(entry for entry in named if times[entry[0]] > 1) == []


def test_no_file_is_longer_than_one_can_read():
    files = [p for package in (*PACKAGES, "tests") for p in sources(package)]
    assert {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > LONGEST} == {}


def test_tests_import_no_tests():
    """What several tests need is in tests/support, also for the processes that they start."""
    imports = re.compile(r"\b(?:from|import) +(tests\.(?!support|reference|benchmarks|gpu)[\w.]+|test_\w+)")
    found = {str(p.relative_to(ROOT)): bad for p in sources("tests") if (bad := imports.findall(p.read_text()))}
    assert found == {}


def test_who_catches_every_exception_says_why():
    broad = re.compile(r"^ *except\b(?: *:|[^:#\n]*\b(?:Base)?Exception\b[^:#\n]*:)(?! *# *\S)", re.MULTILINE)
    files = [path for package in (*PACKAGES, "tests") for path in sources(package)]
    assert [str(p.relative_to(ROOT)) for p in files if broad.search(p.read_text())] == []


def test_no_folder_has_more_files_than_one_takes_in_at_a_glance():
    files = [path for package in PACKAGES for path in sources(package) if path.name != "__init__.py"]
    folders = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {folder: n for folder, n in folders.items() if n > MOST_FILES and folder != FLAT} == {}
    assert folders["jobs"] <= MOST_AT_THE_TOP_OF_JOBS


def test_no_folder_of_tests_has_more_files_than_one_takes_in_at_a_glance():
    folders = Counter(path.parent for path in sources("tests"))
    assert {str(p.relative_to(ROOT)): n for p, n in folders.items() if n > MOST_FILES} == {}


def test_package_inits_are_empty():
    inits = [path for package in PACKAGES for path in sources(package) if path.name == "__init__.py"]
    assert [str(p.relative_to(ROOT)) for p in inits if p.read_text().strip()] == ["pipelines/presets/__init__.py"]


def test_the_model_package_runs_where_ray_mlflow_and_the_data_libraries_are_missing():
    code = """
import importlib, pkgutil, sys
for name in ("ray", "mlflow", "datasets", "pyarrow", "pydantic", "fsspec", "tokenizers"):
    sys.modules[name] = None
import rxt_model
for module in pkgutil.walk_packages(rxt_model.__path__, "rxt_model."):
    importlib.import_module(module.name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=SECONDS)
