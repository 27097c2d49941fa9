"""Find the `rxt …` commands in the documentation, and check that they can be typed."""

from __future__ import annotations

import re
import shlex

import typer

from pipelines import cli
from pipelines.code_digest import ROOT
from pipelines.curriculum import curriculum
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from rxt_model.family import FAMILY

UsageError = typer.BadParameter.__base__  # wherever typer keeps it
# a line of a block, or a span of text; what stands three spaces further right explains it
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?rxt (?P<words>\S+(?: {1,2}\S+)*)", re.MULTILINE)


def shown(*documents: str) -> list[str]:
    """Return the words after `rxt` of complete commands, but for those of a shell script with variables."""
    found = []
    for name in documents:
        blocks, spans = [], []
        for number, part in enumerate(re.split(r"^ *```.*\n", (ROOT / name).read_text(), flags=re.MULTILINE)):
            (blocks if number % 2 else spans).append(part)
        lines = [
            line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()
        ]
        inline = [" ".join(span.split()) for text in spans for span in re.findall(r"`([^`]+)`", text)]
        found += [match["words"] for text in (*lines, *inline) if (match := COMMAND.match(text))]
    return [words for words in dict.fromkeys(found) if not words.endswith("…") and "$" not in words]


def check(line: str) -> None:
    """Parse as typer does, without running anything. A submitted command is parsed too."""
    words = shlex.split(line)
    command = typer.main.get_command(cli.app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands or words == ["--help"], words
        if words == ["--help"]:
            return
        command = command.commands[words.pop(0)]
    if not words:  # the name of a command
        return
    given = command.make_context(command.name, words).params
    preset = given.get("listed") or given.get("preset", "tiny")
    if getattr(command.callback, "__name__", "") == "model_show" and preset in FAMILY:
        return
    stages = {stage.name for stage in curriculum(resolve(PRESETS[preset](), None, given.get("sets") or ()))}
    for name in ("stage", "until", "why"):
        assert given.get(name) in {None, *stages}, given
    if command.name == "submit":
        check(shlex.join(given["command"]))
