"""How the user called us. The commands that we suggest repeat the preset and the overrides of the run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.stage.context import Change, Chat, Discard, Look, Remedy, Rerun, Restart
from pipelines.guard.secrets import redacted

DEFAULT_PRESET = "tiny"
JOB_CONFIG = "RXT_JOB_CONFIG"  # where a submitted job finds the file that `--config` named on the user's machine


@dataclass(frozen=True)
class Invocation:
    """`command` is what was typed, `preset` its preset, `options` its `--config` and `--set` as typed, and `overrides`
    what these resolved to (`key=value`)."""

    command: str
    preset: str = DEFAULT_PRESET
    options: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @classmethod
    def typed(cls, preset: str, file: Path | None, sets: Sequence[str], overrides: tuple[str, ...] = ()) -> Invocation:
        """The invocation of this process."""
        options = (*(("--config", str(file)) if file else ()), *(word for text in sets for word in ("--set", text)))
        return cls(redacted(shlex.join(["rxt", *sys.argv[1:]])), preset, options, overrides)

    def next(self, remedy: Remedy, stage: str) -> str:
        """The command for a remedy. `stage` is the stage that asks for it."""
        match remedy:
            case Rerun(other):
                return self.stage("rerun", other)
            case Restart():
                return self.stage("rerun", stage)
            case Change(key, value):
                return self.changed(key, value).run()
            case Look(""):
                return self.status()
            case Look(other):
                return self.stage("show", other)
            case Discard(other, artifact_id):
                return self.stage("discard", other, artifact_id)
            case Chat(other):
                return self.chat("--stage", other)
            case _:
                return remedy

    def run(self, *words: str) -> str:
        """`rxt run …` for this preset and these overrides."""
        return self._line("run", *words)

    def chat(self, *words: str) -> str:
        return self._line("chat", *words)

    def plan(self, *words: str) -> str:
        return self._line("plan", *words)

    def status(self, *words: str) -> str:
        return self._line("status", *words)

    def stage(self, *words: str) -> str:
        """`rxt stage …`, which takes the preset as an option."""
        preset = () if self.preset == DEFAULT_PRESET else ("--preset", self.preset)
        return shlex.join(("rxt", "stage", *words, *preset, *self.options))

    def changed(self, key: str, value: int | float | str) -> Invocation:
        """The same invocation with another `--set`, which replaces an earlier one of the same key."""
        pairs = zip(self.options[::2], self.options[1::2], strict=True)
        kept = [(name, text) for name, text in pairs if (name, _key(text)) != ("--set", _key(key))]
        options = (word for pair in [*kept, ("--set", f"{key}={value}")] for word in pair)
        return replace(self, options=tuple(options))

    def _line(self, name: str, *words: str) -> str:
        preset = () if self.preset == DEFAULT_PRESET else (self.preset,)
        return shlex.join(("rxt", name, *preset, *words, *self.options))


def _key(setting: str) -> str:
    """The key of `KEY=VALUE`. Sections may be spelled with dashes."""
    return setting.partition("=")[0].strip().replace("-", "_")
