"""Every `rxt …` that the documentation shows is a command: its options, presets, stages and keys exist."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from pipelines import cli
from pipelines.code_digest import ROOT
from pipelines.curriculum import curriculum
from pipelines.overrides import known_keys
from pipelines.presets import PRESETS
from rxt_model.family import FAMILY

UsageError = typer.BadParameter.__base__  # wherever typer keeps it
STAGES = {stage.name for stage in curriculum(PRESETS["tiny"]())}
# a line of a block, or a span of text; what stands three spaces further right explains it
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?rxt (?P<words>\S+(?: {1,2}\S+)*)", re.MULTILINE)


def shown() -> list[str]:
    found = []
    for name in ("README.md", "infra/README.md"):
        blocks, spans = [], []
        for number, part in enumerate(re.split(r"^ *```.*\n", (ROOT / name).read_text(), flags=re.MULTILINE)):
            (blocks if number % 2 else spans).append(part)
        lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
        inline = [" ".join(span.split()) for text in spans for span in re.findall(r"`([^`]+)`", text)]
        found += [match["words"] for text in (*lines, *inline) if (match := COMMAND.match(text))]
    return list(dict.fromkeys(found))


def check(words: list[str]) -> None:
    """Parse as typer does, without running anything; a submitted command is one, too."""
    command = typer.main.get_command(cli.app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands or words == ["--help"], words
        if words == ["--help"]:
            return
        command = command.commands[words.pop(0)]
    if not words:  # the name of a command
        return
    given = command.make_context(command.name, words).params
    known = {*PRESETS, *FAMILY} if command.callback.__name__ == "model_show" else PRESETS
    assert given.get("preset", "tiny") in known
    for name in ("stage", "until", "why"):
        assert given.get(name) in {None, *STAGES}, given
    for setting in given.get("sets") or ():
        assert setting.partition("=")[0].replace("-", "_") in set(known_keys()), setting
    if command.name == "submit":
        check(list(given["command"]))


@pytest.mark.parametrize("words", shown())
def test_a_command_that_is_shown_can_be_typed(words):
    if not words.endswith("…"):
        check(shlex.split(words))


def test_commands_are_found_in_blocks_and_in_text():
    assert {"chat", "status", "stage rerun sft", "submit run tiny", "run tiny"} <= set(shown())


@pytest.mark.parametrize(
    "words",
    ["run tyni", "run betta", "model show bet", "stage rerun stf", "run --untill sft", "run --set sft.lr=1", "rnu"],
)
def test_what_cannot_be_typed_is_found(words):
    with pytest.raises((AssertionError, UsageError)):
        check(words.split())
