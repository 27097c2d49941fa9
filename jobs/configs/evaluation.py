"""What is measured and handed over. Everything here is identity."""

from __future__ import annotations

from pydantic import PositiveInt

from jobs.configs.base import Config


class EvaluateConfig(Config):
    """Held-out measurements. `questions` is the least number of memory questions asked."""

    questions: PositiveInt = 300
    text_rows: PositiveInt = 200
    latency_turns: PositiveInt = 64
    batch_size: PositiveInt = 64
    seed: int = 0


class ExportConfig(Config):
    """The hand-over folder; `name` stands in the model card."""

    name: str = "rxt-tiny"
