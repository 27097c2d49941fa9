"""Collects the stages of a configuration. A stage whose section is left out is not part of the DAG."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.stage.context import StageError
from pipelines.config import PipelineConfig
from pipelines.stage import Stage


@dataclass(frozen=True)
class LeftOut:
    """Stands for a stage that the configuration leaves out, since it has no `section`."""

    name: str
    section: str


@dataclass(frozen=True)
class Training:
    """A stage that trains a model, before a curriculum gives it a place. It reads the model of the stage before
    it as `model`, and what `reads` names. One that `begins` makes a new model instead. One that `refines` is left out
    without harm: the stages after it then read the model before it. Its section has its name, with underscores."""

    summary: str
    function: str
    reads: Mapping[str, Stage | LeftOut] = field(default_factory=dict)
    begins: bool = False
    refines: bool = False
    version: int = 1


class Dag:
    """`stages` are the stages added so far. Each stands after all that it reads."""

    def __init__(self, config: PipelineConfig) -> None:
        self.stages: list[Stage] = []
        self._config = config

    def add(
        self,
        name: str,
        summary: str,
        function: str,
        section: str,
        inputs: Mapping[str, Stage | LeftOut] | None = None,
        *,
        deterministic: bool = False,
        version: int = 1,
    ) -> Stage | LeftOut:
        """Adds a stage (see `Stage`) whose config is `section` of the pipeline's, and returns it. Returns LeftOut if
        the configuration has no such section. Raises StageError if the stage reads one that is left out."""
        config = getattr(self._config, section)
        if config is None:
            return LeftOut(name, section)
        present: dict[str, Stage] = {}
        for key, source in (inputs or {}).items():
            if isinstance(source, LeftOut):
                raise StageError(
                    f"{name} reads {source.name}, which this preset leaves out: "
                    f"it has a section {section} and no section {source.section}",
                    "rxt stage list     shows what each stage reads",
                )
            present[key] = source
        stage = Stage(name, summary, function, config, present, deterministic, version)
        self.stages.append(stage)
        return stage

    def train(self, order: Sequence[str], known: Mapping[str, Training]) -> list[Stage | LeftOut]:
        """Adds the stages that `order` names, each of which trains the model of the one before. Returns them, without
        those that refine and are left out. Raises StageError for an order that no model can go through, and as `add`
        does."""
        _check(order, known)
        trained: list[Stage | LeftOut] = []
        for name in order:
            stage, section = known[name], name.replace("-", "_")
            reads = stage.reads if stage.begins else {"model": trained[-1], **stage.reads}
            added = self.add(name, stage.summary, stage.function, section, reads, version=stage.version)
            if not (stage.refines and isinstance(added, LeftOut)):
                trained.append(added)
        return trained


def _check(order: Sequence[str], known: Mapping[str, Training]) -> None:
    beginnings = " or ".join(name for name, stage in known.items() if stage.begins)
    for place, name in enumerate(order):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            fault = f"has no stage {name}; " + (
                f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            )
        elif name in order[:place]:
            fault = f"names {name} twice"
        elif known[name].begins and place:
            fault = f"makes a new model in {name}, after {order[place - 1]}: it must begin with {beginnings}, once"
        elif not known[name].begins and not place:
            fault = f"begins with {name}, which reads a model: it must begin with {beginnings}"
        else:
            continue
        raise StageError(f"curriculum = {list(order)}: {fault}", "rxt stage list     shows what each stage reads")
