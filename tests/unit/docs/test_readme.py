"""Every `rxt …` that the documentation shows is a command: its options, presets, stages and keys exist."""

from __future__ import annotations

import pytest

from jobs.stage.context import StageError
from pipelines.code_digest import ROOT
from tests.support.docs.commands import UsageError, check, shown

# CONTRIBUTING.md shows commands about its own examples: `test_contributing.py` checks them where these are built
DOCUMENTS = ["README.md", "infra/README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("line", shown(*DOCUMENTS))
def test_a_command_that_is_shown_can_be_typed(line):
    check(line)


def test_commands_are_found_in_blocks_and_in_text():
    assert {"chat", "status", "stage rerun sft", "submit run tiny", "run tiny"} <= set(shown(*DOCUMENTS))


@pytest.mark.parametrize(
    "line",
    ["run tyni", "run betta", "model show bet", "stage rerun stf", "run --untill sft", "run --set sft.lr=1", "rnu"],
)
def test_what_cannot_be_typed_is_found(line):
    with pytest.raises((AssertionError, KeyError, StageError, UsageError)):
        check(line)
