"""A stage is a node of the DAG: a function, its config, and the stages that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobs.configs.base import Config


@dataclass(frozen=True)
class Stage:
    """`function` is `module:name`, imported only when the stage runs; it takes (StageContext, config) and returns the
    result's metrics, a flat mapping of numbers and short texts with an optional `result` for the status table.

    `deterministic` stages give the same bytes for the same inputs, so what follows depends on their content;
    what follows any other stage depends on the attempt.

    `version` is part of the fingerprint. Raise it, in the DAG, when the same config and inputs give another result than
    before, or files of another form: results of the version before then count as stale. It stays when a change of code
    gives the same bytes, and for keys of the config, which are part of the fingerprint themselves.
    """

    name: str
    summary: str
    function: str
    config: Config
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    deterministic: bool = False
    version: int = 1
