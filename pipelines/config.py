"""The whole configuration of a pipeline: one section per stage, plus execution."""

from __future__ import annotations

from jobs import configs
from jobs.configs import Config


class PipelineConfig(Config):
    """A preset is a function that returns one of these; `--config` and `--set` overlay it."""

    corpus: configs.CorpusConfig
    tokenizer: configs.TokenizerConfig
    text: configs.TextShardsConfig
    interactions: configs.InteractionShardsConfig
    conversations: configs.ConversationShardsConfig
    episodes: configs.ConversationShardsConfig
    pretrain: configs.PretrainConfig
    sft: configs.SftConfig
    memory_pretrain: configs.MemoryPretrainConfig
    smat: configs.SmatConfig
    mrl: configs.MrlConfig
    baseline: configs.BaselineConfig
    evaluate: configs.EvaluateConfig
    export: configs.ExportConfig
    execution: configs.Execution = configs.Execution()
