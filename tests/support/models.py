"""Small models for tests: every layer type, a few thousand parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, ModelConfig, MoEConfig
from rxt_model.model import ReactiveTransformer, seeded


def small_config(**changes: Any) -> ModelConfig:
    attention = AttentionConfig(query_heads=2, kv_heads=1, gate="elementwise")
    architecture = Architecture(
        dim=32,
        heads=4,
        stateful_layers=2,
        initial_layers=1,
        final_layers=1,
        decoder_attention=attention,
        cross_attention=AttentionConfig(query_heads=2, kv_heads=2),
        encoder_attention=attention,
        dense_dim=48,
        encoder_dim=48,
        moe=MoEConfig(experts=4, top_k=2, expert_dim=16, shared_experts=2, shared_dim=16),
        memory=MemoryConfig(slots=6, variant="competitive"),
        length=32,
    )
    return replace(architecture, **changes).with_vocabulary(64, "digest")


def small_model(seed: int = 0, **changes: Any) -> ReactiveTransformer:
    return seeded(lambda: ReactiveTransformer(small_config(**changes)), seed)
