"""Settings of preference optimisation. All of them are part of the fingerprint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from jobs.configs.conversations import ConversationShardsConfig
from jobs.configs.training import TrainingConfig


class PreferenceShardsConfig(ConversationShardsConfig):
    """Settings of conversations with accepted and rejected answers. Data sets in `sources` have both; in generated
    conversations, the answers to questions have a rejected one."""

    @model_validator(mode="after")
    def _both_answers_are_there(self) -> PreferenceShardsConfig:
        if self.documents:
            raise ValueError(
                f"documents = {self.documents}: must be 0, as dialogues of the corpus have no rejected answers"
            )
        for source in self.sources:
            if source.long_answers == "window":
                raise ValueError(f"sources: long_answers = 'window' of {source.name}: must be cut, as the rejected is")
        return self


class DmpoConfig(TrainingConfig):
    """Settings of direct memory and preference optimisation.

    `beta` weighs the distance from the reference. A share `label_smoothing` of the choices counts as wrong. The
    log-probability of an answer is the `sum` over its tokens (published), or their `mean`, for which `beta` means
    something else. A loss flows back through at most `horizon` memory writes (None: all), and a conversation has at
    most `turns` interactions (None: all).
    """

    beta: PositiveFloat = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    log_probability: Literal["sum", "mean"] = "sum"
    horizon: PositiveInt | None = None
    turns: PositiveInt | None = None

    @model_validator(mode="after")
    def _what_is_set_trains_something(self) -> DmpoConfig:
        if self.head_z_weight:
            raise ValueError(f"head_z_weight = {self.head_z_weight}: must be 0, as answers are compared, not tokens")
        return self
