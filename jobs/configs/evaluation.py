"""Settings of the stages `evaluate` and `export`. All of them are part of the fingerprint."""

from __future__ import annotations

from pydantic import PositiveInt

from jobs.configs.base import Config


class EvaluateConfig(Config):
    """Measurements on held-out data. At least `questions` memory questions are asked, if the test split has so many."""

    questions: PositiveInt = 300
    text_rows: PositiveInt = 200
    latency_turns: PositiveInt = 64
    batch_size: PositiveInt = 64
    seed: int = 0


class ExportConfig(Config):
    """The exported model folder. Its model card is titled `name`."""

    name: str = "rxt-tiny"
