"""Links of the documentation lead somewhere, and every page is linked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from tests.benchmarks import render

LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def prose(path: Path) -> str:
    """Return the text without blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", render.documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in LINK.finditer(prose(path)):
        target = (path.parent / link["path"]).resolve() if link["path"] else path
        assert target.exists(), link[0]
        assert link["anchor"] is None or link["anchor"] in anchors(target), link[0]


def test_every_page_is_linked_from_the_first():
    linked = {link["path"] for link in LINK.finditer(prose(ROOT / "README.md"))}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("path", render.documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_are_named_exist(path):
    """This concerns paths of this repository, in prose. AREA and the like stand for a name, and the changelog names old
    paths."""
    if path.name == "CHANGELOG.md":
        return
    named = re.findall(r"`((?:jobs|pipelines|rxt_model|tokenization|tests|docs|infra)/[\w./-]+)`", prose(path))
    assert [name for name in named if not re.search("[A-Z]{4}", name) and not (ROOT / name).exists()] == []


def test_every_benchmark_that_is_started_somewhere_exists():
    places = [*render.documents(), *(ROOT / "tests/benchmarks").rglob("*.py")]
    started = {
        name for path in places for name in re.findall(r"python -m (tests\.benchmarks\.[\w.]+)", path.read_text())
    }
    assert len(started) > 10
    assert [name for name in started if not (ROOT / name.replace(".", "/")).with_suffix(".py").exists()] == []
