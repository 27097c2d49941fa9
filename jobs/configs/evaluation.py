"""Settings of the stages `evaluate` and `export`. All of them are part of the fingerprint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from jobs.configs.base import Config, Seed


class EvaluateConfig(Config):
    """Measurements on held-out data. At least `questions` memory questions of each generator are asked, if the test
    split has so many.

    `own_words` is the path or fsspec URL of dialogues in people's own words (`jobs.evaluation.own_words.reader`), which
    are played too. The fingerprint holds the path alone, and the report the file's SHA-256.
    """

    questions: PositiveInt = 200
    text_rows: PositiveInt = 200
    latency_turns: PositiveInt = 64
    batch_size: PositiveInt = 128
    seed: Seed = 0
    own_words: Annotated[str, Field(min_length=1)] | None = None


class ExportConfig(Config):
    """The exported model folder. Its model card is titled `name`."""

    name: str = "rxt-tiny"
