"""The curriculum of `tiny` with a larger model and about twice its steps: some hours on two cores."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.evaluation import ExportConfig
from jobs.configs.training import BaselinePhase, OptimizerConfig, SmatPhase
from pipelines.config import PipelineConfig
from pipelines.presets.tiny import tiny
from rxt_model.config import AttentionConfig


def hour() -> PipelineConfig:
    """Train 2.9 M parameters with the recipe of `tiny`, for about twice the steps."""
    c = tiny()
    assert c.tokenizer and c.interactions and c.conversations and c.pretrain and c.sft
    assert c.memory_pretrain and c.smat and c.baseline
    half = AttentionConfig(query_heads=4, kv_heads=4, gate="elementwise")
    whole = AttentionConfig(query_heads=8, kv_heads=8)
    model = replace(
        c.pretrain.model,
        dim=128,
        heads=8,
        decoder_attention=half,
        cross_attention=whole,
        encoder_attention=replace(whole, gate="elementwise"),
        dense_dim=128,
        encoder_dim=256,
    )
    steady = OptimizerConfig(lr=2.5e-3, matrices="muon", warmup_steps=40, decay=0)
    falling = OptimizerConfig(lr=2.5e-3, matrices="muon", warmup_steps=20, decay=0.85)
    return c.model_copy(
        update={
            "tokenizer": c.tokenizer.model_copy(update={"vocab_size": 4096}),
            "conversations": c.conversations.model_copy(update={"train": 40_000}),
            "pretrain": c.pretrain.model_copy(update={"model": model, "steps": 150}),
            "memory_pretrain": c.memory_pretrain.model_copy(
                update={"steps": 1500, "importance_from": 600, "optimizer": steady}
            ),
            "smat": c.smat.model_copy(
                update={
                    "steps": 1500,
                    "optimizer": falling,
                    "phases": (SmatPhase(until=1500, turns=14, train=("decoder", "memory", "encoder")),),
                }
            ),
            "baseline": c.baseline.model_copy(
                update={
                    "text": BaselinePhase(steps=150, batch_size=32),
                    "conversations": BaselinePhase(steps=3000, batch_size=16),
                }
            ),
            "export": ExportConfig(name="rxt-hour"),
        }
    )
