"""The README and the pages in docs name settings, stages, memory writes, presets and variables that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest

from jobs.stage.context import StageError
from pipelines.code_digest import PACKAGES, ROOT
from pipelines.config import PipelineConfig
from pipelines.curriculum import curriculum
from pipelines.overrides import known_keys, resolve
from pipelines.presets import PRESETS
from pipelines.presets.tiny import tiny
from rxt_model.family import FAMILY
from rxt_model.memory.registry import WRITES
from tests.support.docs.stages import CONFIGS, STAGES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_NO_PRESET = "add the keys of a stage that is in no preset to OPTIONAL of tests/support/docs/stages.py"
FILES = re.compile(r".*\.(?:json|jsonl|md|toml|txt)")


@cache
def variables() -> frozenset[str]:
    """Return the variables of the environment that our code reads."""
    code = "\n".join(
        path.read_text() for package in (*PACKAGES, "pipelines") for path in (ROOT / package).rglob("*.py")
    )
    return frozenset(re.findall(r"\"(RXT_[A-Z_]+)\"", code))


def faults(text: str) -> list[str]:
    """Return the names in a page that nothing has. A dotted name is a setting or a file; a name with dashes is a stage
    or a model. A word alone is a stage where the text says so."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", prose)
    keys = set(known_keys())
    dotted = [span for span in spans if re.fullmatch(r"[a-z][a-z_-]*(?:\.[a-z_]+)+", span)]
    dashed = [span for span in spans if re.fullmatch(r"[a-z]+(?:-[a-z]+)+", span)]
    alone = re.findall(r"\b[Ss]tages? `([\w-]+)`", prose)
    return [
        *(name for name in dotted if name.replace("-", "_") not in keys and not FILES.fullmatch(name)),
        *(name for name in dashed if name not in {*STAGES, *FAMILY}),
        *(name for name in alone if name not in STAGES),
        *(name for name in re.findall(r"\bRXT_[A-Z_]+\b", text) if name not in variables()),
    ]


def in_first_column(text: str, header: str) -> list[str]:
    """Return the names in backticks in the first column of the table with this header."""
    rows = re.search(rf"^\| {header} \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert rows, f"no table has the header {header!r}"
    return [name for row in rows[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def settings(text: str) -> list[str]:
    """Return the examples of a file for `--config`."""
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page):
    assert faults(page.read_text(encoding="utf-8")) == [], f"nothing has these names; {IN_NO_PRESET}"


@pytest.mark.parametrize(
    ("page", "header", "names"),
    [("stages", "stage", STAGES), ("stages", "preset", list(PRESETS)), ("model", "variant", list(WRITES))],
)
def test_a_table_names_all_there_are_and_no_other(page, header, names):
    found = in_first_column((ROOT / f"docs/{page}.md").read_text(), header)
    cure = f"; {IN_NO_PRESET}" if header == "stage" else ""
    assert sorted(found) == sorted(names), f"docs/{page}.md has a row for each {header} and no other{cure}"


def test_every_section_belongs_to_a_stage_that_is_known_here():
    used = [stage.config for config in CONFIGS for stage in curriculum(config)]
    sections = {name for config in CONFIGS for name, value in config if any(value is own for own in used)}
    assert {*PipelineConfig.model_fields} - sections == {"curriculum", "execution"}, IN_NO_PRESET


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_shown_can_be_set(page, tmp_path):
    """Blocks of TOML are files for `--config`. Options that stand without their command belong to `rxt run tiny`."""
    text = page.read_text(encoding="utf-8")
    for block in settings(text):
        (tmp_path / "mine.toml").write_text(block)
        resolve(tiny(), tmp_path / "mine.toml")
    for span in re.findall(r"`(--set [^`]+)`", text):
        resolve(tiny(), None, span.removeprefix("--set ").split(" --set "))


def test_there_are_settings():
    assert len(settings((ROOT / "docs/data.md").read_text())) >= 2


@pytest.mark.parametrize(
    "planted",
    ["`corpus.benchmark_word`", "`corpse.sources`", "`memory-pretrian`", "the stage `stf` trains", "set `RXT_STOER`"],
)
def test_a_name_that_nothing_has_is_found(planted):
    assert len(faults(planted)) == 1


@pytest.mark.parametrize("planted", ["[[corpus.sources]]\nnmae = 'x'\n", "[corpus]\nbenchmark_word = 3\n", "[corpus\n"])
def test_settings_that_cannot_be_set_are_found(planted, tmp_path):
    (block,) = settings(f"```toml\n{planted}```\n")
    (tmp_path / "mine.toml").write_text(block)
    with pytest.raises(StageError):
        resolve(tiny(), tmp_path / "mine.toml")
