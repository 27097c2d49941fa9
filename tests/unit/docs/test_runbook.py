"""The commands of the runbook exist with their options, and the messages in it are those of the code."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.testing import CliRunner

from pipelines import cli
from pipelines.code_digest import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
MESSAGE = re.compile(r" …|: | has | is | the | not ")  # in a name or a command stands none of these


def commands() -> list[str]:
    """Return what follows `rxt` in each line of the blocks, without the remarks beside."""
    lines = "\n".join(re.findall(r"^```\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)).splitlines()
    return [re.split(r" {3,}| > | &", found[1])[0] for line in lines if (found := re.search(r"\brxt ([a-z].*)", line))]


def refused(command: str) -> bool:
    """Tell whether `rxt` has no such command, or it has no such option."""
    return CliRunner().invoke(cli.app, [*shlex.split(command), "--help"]).exit_code != 0


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_commands_exist(command):
    assert not refused(command)


@pytest.mark.parametrize("command", ["mend", "run tiny --fast", "stage forget sft"])
def test_a_command_that_does_not_exist_is_found(command):
    assert refused(command)


def test_messages_are_those_of_the_code():
    packages = ("pipelines", "jobs", "tokenization")
    source = "\n".join(path.read_text() for name in packages for path in (ROOT / name).rglob("*.py"))
    named = re.findall(r"`([^`\n]+)`", PROSE)
    shown = [text for text in named if MESSAGE.search(text) and not text.startswith("error: …")]
    assert len(shown) >= 9
    parts = {
        part
        for message in shown
        for part in re.split(r"…|\b\d+ CPUs|\b\d+\b|Ray's \w+ |metrics.jsonl", message)
        if len(part.strip()) > 4
    }
    assert [part for part in sorted(parts) if part.strip(" :") not in source] == []
