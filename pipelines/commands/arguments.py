"""The arguments that several commands take, and what a shell offers for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_preset() -> list[str]:
    """What a shell offers where a preset stands."""
    from pipelines.presets import PRESETS

    return list(PRESETS)


def complete_stage() -> list[str]:
    """What a shell offers where a stage stands: the stages of all presets."""
    from pipelines.curriculum import curriculum
    from pipelines.presets import PRESETS

    return list(dict.fromkeys(stage.name for make in PRESETS.values() for stage in curriculum(make())))


Preset = Annotated[
    str,
    typer.Argument(metavar="PRESET", help="A named configuration.", show_default=True, autocompletion=complete_preset),
]
PresetOption = Annotated[str, typer.Option("--preset", help="A named configuration.", autocompletion=complete_preset)]
StageName = Annotated[str, typer.Argument(metavar="STAGE", autocompletion=complete_stage)]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML with the keys that differ.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace one value; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, progress on stderr.")]
