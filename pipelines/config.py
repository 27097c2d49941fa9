"""The whole configuration of a pipeline: a section for each stage, and how to execute them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from jobs.configs.base import Config
from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import Execution
from jobs.configs.preferences import DmpoConfig, PreferenceShardsConfig
from jobs.configs.rl import MrlConfig
from jobs.configs.texts import CorpusConfig, TextShardsConfig
from jobs.configs.tokenizer import TokenizerConfig
from jobs.configs.training import (
    BaselineConfig,
    MemoryPretrainConfig,
    MlmConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    TrainingConfig,
)
from rxt_model.config import Architecture
from rxt_model.memory.registry import WRITES

PUBLISHED_ORDER = ("pretrain", "sft", "memory-pretrain", "smat", "mrl", "dmpo")


class PipelineConfig(Config):
    """A preset is a function that returns one of these; `--config` and `--set` overlay it.

    `curriculum` names the stages that train the model, in their order. A stage whose section is None, or which trains
    and is not named, is not part of that preset's DAG; `pipelines/curriculum.py` says which section belongs to which
    stage.
    """

    curriculum: Annotated[tuple[str, ...], Field(min_length=1)] = PUBLISHED_ORDER

    corpus: CorpusConfig | None = None
    tokenizer: TokenizerConfig | None = None
    text: TextShardsConfig | None = None
    interactions: InteractionShardsConfig | None = None
    conversations: ConversationShardsConfig | None = None
    episodes: ConversationShardsConfig | None = None
    preferences: PreferenceShardsConfig | None = None
    pretrain: PretrainConfig | None = None
    mlm: MlmConfig | None = None
    lm: TrainingConfig | None = None
    sft: SftConfig | None = None
    memory_pretrain: MemoryPretrainConfig | None = None
    smat: SmatConfig | None = None
    mrl: MrlConfig | None = None
    dmpo: DmpoConfig | None = None
    baseline: BaselineConfig | None = None
    evaluate: EvaluateConfig | None = None
    export: ExportConfig | None = None
    execution: Execution = Execution()

    @property
    def model(self) -> Architecture | None:
        """The shape of the model that the first stage of the curriculum makes; None if that stage is left out."""
        beginning = self.mlm if self.curriculum[0] == "mlm" else self.pretrain
        return beginning.model if beginning else None

    @model_validator(mode="after")
    def _the_write_learns_from_what_reaches_it(self) -> PipelineConfig:
        """A selective write learns from raw reading alone, as its choice has no gradient."""
        if self.model is None:
            return self
        variant = self.model.memory.variant
        selects, reading, smat = WRITES[variant].selects, self.memory_pretrain, self.smat
        reason = f"as the {variant} write has no gradient"
        self._require(
            not (selects and reading and reading.objective == "self-supervised"),
            f"memory_pretrain.objective = 'self-supervised': must be reading, {reason}",
        )
        for number, phase in enumerate(smat.phases if selects and smat else ()):
            self._require(
                set(phase.train) != {"memory"}, f"smat.phases.{number}.train: must name more than memory, {reason}"
            )
        self._require(
            not (selects and self.mrl and self.mrl.unfreeze[0]),
            f"mrl.unfreeze: must begin with 0, {reason}, and the memory attention alone trains before",
        )
        return self

    @model_validator(mode="after")
    def _two_shared_experts_have_tasks(self) -> PipelineConfig:
        """Thinking and fast answers each need a shared expert."""
        shared = self.model.moe.shared_experts if self.model else 2
        for name, section in (("sft", self.sft), ("smat", self.smat)):
            self._require(
                not (section and section.task_weight) or shared == 2,
                f"{name}.task_weight: must be 0 with moe.shared_experts = {shared}, as the tasks need two",
            )
        return self

    @staticmethod
    def _require(condition: bool, rule: str) -> None:
        if not condition:
            raise ValueError(rule)
