"""The advisory code digest: what counts as a change, and how far it reaches."""

from __future__ import annotations

import pytest

from pipelines.code_digest import changed_files, code_digest

HELPER = '''"""Doc."""
from rxt_model import deep

# a comment
def help_out(x):
    """What it does."""
    return deep.value + x
'''


@pytest.fixture
def tree(tmp_path):
    for package in ("jobs", "rxt_model"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "jobs/stage.py").write_text("import torch\ndef work():\n    from jobs.helper import help_out\n")
    (tmp_path / "jobs/helper.py").write_text(HELPER)
    (tmp_path / "jobs/other.py").write_text("x = 1\n")
    (tmp_path / "rxt_model/deep.py").write_text("value = 1\n")
    return tmp_path


def test_reaches_modules_through_imports_inside_functions_and_packages(tree):
    digest = code_digest("jobs.stage:work", tree)
    assert {"jobs/stage.py", "jobs/helper.py", "rxt_model/deep.py"} <= set(digest)
    assert "jobs/other.py" not in digest


def test_comments_docstrings_and_layout_do_not_count(tree):
    before = code_digest("jobs.stage:work", tree)
    (tree / "jobs/helper.py").write_text(
        '"""Other."""\n\nfrom rxt_model import deep\n\n\ndef help_out(x):\n    return (deep.value\n  + x)  # new\n'
    )
    assert changed_files(before, code_digest("jobs.stage:work", tree)) == []


def test_a_change_of_meaning_names_the_file(tree):
    before = code_digest("jobs.stage:work", tree)
    (tree / "rxt_model/deep.py").write_text("value = 2\n")
    assert changed_files(before, code_digest("jobs.stage:work", tree)) == ["rxt_model/deep.py"]


def test_real_stage_reaches_its_objective():
    assert "jobs/stage/context.py" in code_digest("jobs.evaluation.stage:evaluate")


def test_what_is_named_to_be_imported_later_is_reached():
    assert {"rxt_model/memory/gated.py", "rxt_model/memory/competitive.py"} <= set(
        code_digest("jobs.training.pretrain:pretrain")
    )
