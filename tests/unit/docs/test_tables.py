"""Tables of the documentation name every part that there is."""

from __future__ import annotations

import re

import pytest

from pipelines.code_digest import ROOT
from rxt_model.memory.registry import WRITES
from tests.support.docs.stages import STAGES


def named(document: str, column: str) -> list[str]:
    """Return the names in the first cells of the table whose first column has this title."""
    text = (ROOT / document).read_text(encoding="utf-8")
    (table,) = re.findall(rf"^\| {column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]


@pytest.mark.parametrize(
    ("document", "column", "parts"), [("docs/stages.md", "stage", STAGES), ("docs/model.md", "variant", WRITES)]
)
def test_a_table_names_every_part(document, column, parts):
    assert set(named(document, column)) == set(parts)
