"""How the user called us, so that the commands we suggest repeat what belongs to this run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

DEFAULT_PRESET = "tiny"


@dataclass(frozen=True)
class Invocation:
    """`command` as typed, `preset`, `options` (`--config` and `--set` as typed), `overrides` they resolved to
    (`key=value`)."""

    command: str
    preset: str = DEFAULT_PRESET
    options: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def run(self, *words: str) -> str:
        """`rxt run …` for this preset and these overrides; `chat` and `status` name the preset in the same way."""
        return self._line("run", *words)

    def chat(self) -> str:
        return self._line("chat")

    def status(self, *words: str) -> str:
        return self._line("status", *words)

    def stage(self, *words: str) -> str:
        """`rxt stage …`, where the preset is an option."""
        preset = () if self.preset == DEFAULT_PRESET else ("--preset", self.preset)
        return shlex.join(("rxt", "stage", *words, *preset, *self.options))

    def _line(self, name: str, *words: str) -> str:
        preset = () if self.preset == DEFAULT_PRESET else (self.preset,)
        return shlex.join(("rxt", name, *preset, *words, *self.options))
