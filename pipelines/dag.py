"""Collects the stages of a configuration. A stage whose section is left out is not part of the DAG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.stage.context import StageError
from pipelines.config import PipelineConfig
from pipelines.stage import Stage


@dataclass(frozen=True)
class LeftOut:
    """Stands for a stage that the configuration leaves out, since it has no `section`."""

    name: str
    section: str


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
