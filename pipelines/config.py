"""The whole configuration of a pipeline: one section per stage, plus execution."""

from __future__ import annotations

from jobs import configs, data_configs
from jobs.config_base import Config


class PipelineConfig(Config):
    """A preset is a function that returns one of these; `--config` and `--set` overlay it."""

    corpus: data_configs.CorpusConfig
    tokenizer: data_configs.TokenizerConfig
    text: data_configs.TextShardsConfig
    interactions: data_configs.InteractionShardsConfig
    conversations: data_configs.ConversationShardsConfig
    episodes: data_configs.ConversationShardsConfig
    pretrain: configs.PretrainConfig
    sft: configs.SftConfig
    memory_pretrain: configs.MemoryPretrainConfig
    smat: configs.SmatConfig
    mrl: configs.MrlConfig
    baseline: configs.BaselineConfig
    evaluate: configs.EvaluateConfig
    export: configs.ExportConfig
    execution: configs.Execution = configs.Execution()
