"""Named configurations. A preset is a function, so that one can be copied and edited; sizes follow the cards."""

from __future__ import annotations

from collections.abc import Callable

from jobs.configs import (
    BaselineConfig,
    ConversationShardsConfig,
    CorpusConfig,
    DialoguesConfig,
    EvaluateConfig,
    ExportConfig,
    InteractionShardsConfig,
    MemoryPretrainConfig,
    MrlConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
    SourceConfig,
    TextShardsConfig,
    TokenizerConfig,
)
from pipelines.config import PipelineConfig
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, MoEConfig
from tokenization.fetch import PACKAGES

PACKAGE_MEGABYTES = {
    "r-cran-janeaustenr": 2.0,
    "chitchat-dataset": 2.5,
    "libreoffice-help-en-us": 0.5,
    "dict-freedict-pol-eng": 2.5,
    "fortunes-pl": 1.0,
    "libreoffice-help-pl": 1.5,
}


def tiny() -> PipelineConfig:
    """The whole curriculum in minutes on two CPU cores: shows the machinery and remembers, but is no good talker."""
    sparse = AttentionConfig(query_heads=3, kv_heads=3, gate="elementwise")
    model = Architecture(
        dim=96,
        heads=6,
        stateful_layers=2,
        initial_layers=1,
        final_layers=1,
        decoder_attention=sparse,
        cross_attention=AttentionConfig(query_heads=3, kv_heads=3),
        encoder_attention=sparse,
        dense_dim=128,
        encoder_dim=128,
        moe=MoEConfig(experts=8, top_k=2, expert_dim=32, shared_experts=2, shared_dim=32),
        memory=MemoryConfig(slots=16, variant="competitive"),
        length=64,
    )
    dialogues = DialoguesConfig(turns=(3, 8), facts=(1, 4), distract=0.1, again=0.8)
    every = ("decoder", "memory", "encoder")
    return PipelineConfig(
        corpus=CorpusConfig(sources=tuple(_package(name, megabytes) for name, megabytes in PACKAGE_MEGABYTES.items())),
        tokenizer=TokenizerConfig(vocab_size=2048, document_bytes=2_000_000, dialogues=4_000),
        text=TextShardsConfig(length=128, shards=2, max_tokens=800_000),
        interactions=InteractionShardsConfig(length=64, shards=2, dialogues=dialogues),
        conversations=ConversationShardsConfig(length=64, shards=2, train=8_000, dialogues=dialogues),
        pretrain=PretrainConfig(model=model, steps=200, batch_size=32),
        sft=SftConfig(steps=150, batch_size=128),
        memory_pretrain=MemoryPretrainConfig(steps=600, batch_size=32),
        smat=SmatConfig(steps=500, batch_size=32, phases=(SmatPhase(until=500, turns=8, train=every),)),
        mrl=MrlConfig(iterations=8),
        baseline=BaselineConfig(steps=400, batch_size=32),
        evaluate=EvaluateConfig(),
        export=ExportConfig(name="rxt-tiny"),
    )


def _package(name: str, megabytes: float) -> SourceConfig:
    package = PACKAGES[name]
    return SourceConfig(
        name=name,
        kind="package",
        language=package.language,
        licence=package.licence,
        max_bytes=int(megabytes * 1_000_000),
    )


PRESETS: dict[str, Callable[[], PipelineConfig]] = {"tiny": tiny}
