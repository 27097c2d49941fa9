"""The advisory code digest: what counts as a change, and how far it reaches."""

from __future__ import annotations

import shutil
import sys

import pytest

from pipelines import code_digest as module
from pipelines.code_digest import PACKAGES, ROOT, changed_files, code_digest
from pipelines.curriculum import curriculum
from pipelines.presets.micro import micro

TRAINING = {"pretrain", "sft", "memory-pretrain", "smat", "baseline"}
OBJECTIVES = {
    "base": TRAINING | {"mrl"},  # the learner shares these four
    "collapse": TRAINING | {"mrl"},
    "global_sums": TRAINING | {"mrl"},
    "balance": TRAINING | {"mrl"},
    "matching": {"memory-pretrain", "smat", "baseline"},
    "joint_lm": {"pretrain", "sft"},
    "memory_pretrain": {"memory-pretrain"},
    "reading": {"memory-pretrain", "smat"},
    "importance": {"memory-pretrain", "smat"},
    "naming": {"memory-pretrain", "smat"},
    "smat": {"smat"},
    "next_token": {"baseline"},
    "rehearsal": {"memory-pretrain", "smat", "baseline"},
}
DIALOGUES = {"tokenizer", "interaction-shards", "conversation-shards", "episode-shards"}
OTHERS = {
    "jobs/rl/learning/losses.py": {"mrl"},
    "tokenization/dialogues/plan.py": DIALOGUES,
    "tokenization/dialogues/values.py": DIALOGUES | {"evaluate"},
    "tokenization/dialogues/score.py": {"evaluate"},
    "tokenization/dialogues/spec.py": DIALOGUES,
    "jobs/configs/tokenizer.py": {"tokenizer"},
    "jobs/configs/conversations.py": DIALOGUES - {"tokenizer"},
}

HELPER = '''"""Doc."""
from rxt_model import deep

# a comment
def help_out(x):
    """What it does."""
    return deep.value + x
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Give a copy of our sources."""
    root = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def flagged_by_an_edit(copy, name: str) -> set[str]:
    """Return the stages that note a change if the meaning of this file changes."""
    stages = curriculum(micro())
    before = {stage.name: code_digest(stage.function, copy) for stage in stages}
    path = copy / name
    content = path.read_text()
    path.write_text(f"{content}\nEDITED = True\n")
    noted = {stage.name for stage in stages if changed_files(before[stage.name], code_digest(stage.function, copy))}
    path.write_text(content)
    return noted


@pytest.mark.parametrize(
    "path", sorted((ROOT / "jobs/training/objectives").glob("[!_]*.py")), ids=lambda path: path.stem
)
def test_an_edit_in_an_objective_flags_the_stages_that_minimise_it_and_no_other(copy, path):
    """An objective that is not in the table belongs to one stage."""
    noted = flagged_by_an_edit(copy, str(path.relative_to(ROOT)))
    assert noted == OBJECTIVES[path.stem] if path.stem in OBJECTIVES else len(noted) == 1


@pytest.mark.parametrize("name", OTHERS)
def test_an_edit_flags_the_stages_that_use_the_file_and_no_other(copy, name):
    assert flagged_by_an_edit(copy, name) == OTHERS[name]


@pytest.mark.parametrize("book", ["english", "polish", "phrasebook", "wording", "broad/plan", "broad/speech"])
def test_an_edit_in_a_phrasebook_flags_what_makes_dialogues_and_nothing_else(copy, book):
    assert flagged_by_an_edit(copy, f"tokenization/dialogues/{book}.py") == DIALOGUES


def test_an_edit_in_a_data_file_flags_what_reads_it(copy):
    """Refusals of the phrasebook count where answers are scored, too."""
    noted = flagged_by_an_edit(copy, "tokenization/dialogues/broad/phrasebook/pl/phrases.toml")
    assert noted > DIALOGUES and not noted & {"corpus", "text-shards", *TRAINING}


def test_an_edit_in_the_model_flags_no_stage_that_makes_data(copy):
    data = {"corpus", "tokenizer", "text-shards", *DIALOGUES}
    assert flagged_by_an_edit(copy, "rxt_model/model.py") == {stage.name for stage in curriculum(micro())} - data


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


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Give the file in which other processes leave what they found, and a function that begins another process."""

    def begin():
        module._read.cache_clear()
        module._kept.cache_clear()
        module._new.clear()

    monkeypatch.setattr(module, "KEPT", tmp_path / "kept" / "code.json")
    begin()
    yield module.KEPT, begin
    begin()


def test_another_process_finds_the_same_without_parsing_until_a_file_changes(kept, tree, monkeypatch):
    file, begin = kept
    parsed, parse = [], module._parse
    monkeypatch.setattr(module, "_parse", lambda source: parsed.append(source) or parse(source))
    first = code_digest("jobs.stage:work", tree)
    assert len(parsed) == len({(tree / name).read_bytes() for name in first}) and file.exists()
    begin()
    assert code_digest("jobs.stage:work", tree) == first and len(parsed) == len(set(parsed))

    (tree / "rxt_model/deep.py").write_text("value = 3\n")
    begin()
    changed = code_digest("jobs.stage:work", tree)
    assert changed_files(first, changed) == ["rxt_model/deep.py"] and parsed[-1] == "value = 3\n"
    begin()
    assert code_digest("jobs.stage:work", tree) == changed and len(parsed) == len(set(parsed))


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '{"a": [1, 2]}'])
def test_what_was_kept_and_is_damaged_is_found_again(kept, tree, content):
    file, begin = kept
    first = code_digest("jobs.stage:work", tree)
    whole = file.read_text()
    file.write_text(content)
    begin()
    assert code_digest("jobs.stage:work", tree) == first and file.read_text() == whole


def test_nothing_is_kept_where_python_keeps_nothing(kept, tree, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert code_digest("jobs.stage:work", tree) and not kept[0].parent.exists()


def test_a_folder_that_cannot_be_written_stops_nothing(kept, tree):
    file, _ = kept
    file.parent.write_text("a file")
    assert code_digest("jobs.stage:work", tree)
