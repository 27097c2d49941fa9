"""The whole configuration of a pipeline: one section per stage, plus execution."""

from __future__ import annotations

from jobs.configs.base import Config
from jobs.configs.data import (
    ConversationShardsConfig,
    CorpusConfig,
    InteractionShardsConfig,
    TextShardsConfig,
    TokenizerConfig,
)
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import Execution
from jobs.configs.rl import MrlConfig
from jobs.configs.training import BaselineConfig, MemoryPretrainConfig, PretrainConfig, SftConfig, SmatConfig


class PipelineConfig(Config):
    """A preset is a function that returns one of these; `--config` and `--set` overlay it."""

    corpus: CorpusConfig
    tokenizer: TokenizerConfig
    text: TextShardsConfig
    interactions: InteractionShardsConfig
    conversations: ConversationShardsConfig
    episodes: ConversationShardsConfig
    pretrain: PretrainConfig
    sft: SftConfig
    memory_pretrain: MemoryPretrainConfig
    smat: SmatConfig
    mrl: MrlConfig
    baseline: BaselineConfig
    evaluate: EvaluateConfig
    export: ExportConfig
    execution: Execution = Execution()
