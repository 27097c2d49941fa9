"""The whole configuration of a pipeline: a section for each stage, and how to execute them."""

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
from jobs.configs.training import (
    BaselineConfig,
    MemoryPretrainConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
)


class PipelineConfig(Config):
    """A preset is a function that returns one of these; `--config` and `--set` overlay it.

    A stage whose section is None is not part of that preset's DAG; `pipelines/curriculum.py` says which section belongs
    to which stage.
    """

    corpus: CorpusConfig | None = None
    tokenizer: TokenizerConfig | None = None
    text: TextShardsConfig | None = None
    interactions: InteractionShardsConfig | None = None
    conversations: ConversationShardsConfig | None = None
    episodes: ConversationShardsConfig | None = None
    pretrain: PretrainConfig | None = None
    sft: SftConfig | None = None
    memory_pretrain: MemoryPretrainConfig | None = None
    smat: SmatConfig | None = None
    mrl: MrlConfig | None = None
    baseline: BaselineConfig | None = None
    evaluate: EvaluateConfig | None = None
    export: ExportConfig | None = None
    execution: Execution = Execution()
