"""The smallest model that is meant to speak, for one GPU of 16 GB."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.evaluation import ExportConfig
from jobs.configs.execution import Execution, RlExecution, TrainExecution
from jobs.configs.texts import CorpusConfig, TextShardsConfig
from jobs.configs.training import BaselinePhase, OptimizerConfig, SmatPhase
from pipelines.config import PipelineConfig
from pipelines.presets.hour import hour
from pipelines.presets.micro import POLISH, PROSE
from pipelines.presets.shared import package
from rxt_model.config import AttentionConfig, MoEConfig

TEXT = 256  # tokens of a row of text
BATCH = 32  # conversations


def small() -> PipelineConfig:
    """Train 33 M parameters with the recipe of `hour` on prose from packages. Planned, never trained.

    What it needs and takes is what `rxt plan small --gpus 1 --gpu a4000-16gb` predicts. All numbers are ours: the shape
    has heads and experts whose width the GPU kernels like; the steps were chosen so that the stages together are
    planned to take about an hour.
    """
    c = hour()
    assert c.tokenizer and c.interactions and c.conversations and c.pretrain and c.sft
    assert c.memory_pretrain and c.smat and c.baseline
    half = AttentionConfig(query_heads=6, kv_heads=6, gate="elementwise")
    whole = AttentionConfig(query_heads=12, kv_heads=12)
    model = replace(
        c.pretrain.model,
        dim=384,
        heads=12,
        stateful_layers=4,
        decoder_attention=half,
        cross_attention=whole,
        encoder_attention=replace(whole, gate="elementwise"),
        dense_dim=512,
        encoder_dim=512,
        moe=MoEConfig(experts=12, top_k=2, expert_dim=128, shared_experts=2, shared_dim=128),
    )
    text = BaselinePhase(steps=4_000, batch_size=64)
    asked = BaselinePhase(steps=1_500, batch_size=128)
    read, remembered = 2_500, 2_500
    rising = OptimizerConfig(lr=1e-3, warmup_steps=200, decay=0.3)
    steady = OptimizerConfig(lr=1e-3, warmup_steps=100, decay=0)
    falling = OptimizerConfig(lr=1e-3, warmup_steps=50, decay=0.85)
    beside = {"batch_size": BATCH, "text_batch_size": 8, "precision": "bfloat16"}
    return c.model_copy(
        update={
            "corpus": CorpusConfig(sources=tuple(package(name) for name in (*PROSE, *POLISH))),
            "tokenizer": c.tokenizer.model_copy(update={"vocab_size": 8192, "document_bytes": 40_000_000}),
            "text": TextShardsConfig(length=TEXT, shards=8),
            "interactions": c.interactions.model_copy(update={"generated": 60_000, "documents": 20_000}),
            "conversations": c.conversations.model_copy(update={"documents": 4_000}),
            "pretrain": c.pretrain.model_copy(
                update={"model": model, "optimizer": rising, "precision": "bfloat16", **dict(text)}
            ),
            "sft": c.sft.model_copy(update={"optimizer": rising, "precision": "bfloat16", **dict(asked)}),
            "memory_pretrain": c.memory_pretrain.model_copy(
                update={"steps": read, "importance_from": read // 2, "optimizer": steady, **beside}
            ),
            "smat": c.smat.model_copy(
                update={
                    "steps": remembered,
                    "optimizer": falling,
                    "phases": (SmatPhase(until=remembered, turns=14, train=("decoder", "memory", "encoder")),),
                    **beside,
                }
            ),
            "baseline": c.baseline.model_copy(
                update={
                    "text": text,
                    "interactions": asked,
                    "conversations": BaselinePhase(steps=read + remembered, batch_size=BATCH),
                    "optimizer": rising,
                    "text_batch_size": 8,
                    "precision": "bfloat16",
                }
            ),
            "export": ExportConfig(name="rxt-small"),
            "execution": Execution(
                device="cuda",
                train=TrainExecution(workers=1, threads=4, shard="block", checkpoint_every_steps=200),
                rl=RlExecution(threads=4),
            ),
        }
    )
