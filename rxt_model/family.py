"""The published Reactive Transformers by name. Sizes follow the model cards; if a card is silent, a comment says so.

Nothing is counted here. `rxt_model.size` sums up what a config builds, and the tests compare the sums with the cards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, ModelConfig, MoEConfig


class Member(NamedTuple):
    """A model of the family, with the rounded sizes that its card prints."""

    config: ModelConfig
    card: str


def _heads(query: int, kv: int) -> AttentionConfig:
    """Make the attention of every Alpha: no gate, output bias."""
    return AttentionConfig(query, kv, output_bias=True)


# only stateful layers, every expert with biases of its own, layer norm before the head
ALPHA_MICRO = Architecture(
    dim=128,
    heads=8,
    stateful_layers=6,
    initial_layers=0,
    final_layers=0,
    decoder_attention=_heads(4, 4),
    cross_attention=_heads(4, 4),
    encoder_attention=_heads(4, 4),
    dense_dim=0,
    encoder_dim=384,
    moe=MoEConfig(experts=12, top_k=2, expert_dim=256, bias="expert"),
    # of all variants, only interlayer attention with linear gates has the size that the card gives
    memory=MemoryConfig(slots=256, variant="interlayer", gate="linear"),
    length=256,
    head_norm="layer",
)

# The card gives the heads of the encoder's memory read. We take the decoder's to be the same.
ALPHA_MICRO_V1 = replace(ALPHA_MICRO, cross_attention=_heads(4, 2), encoder_memory_attention=_heads(4, 2))

# Gated self/interlayer attention as in the paper, which does not say what the gates see. Here and in Mini they are
# taken to be elementwise, as in Beta.
ALPHA_MICRO_PLUS = replace(
    ALPHA_MICRO,
    stateful_layers=10,
    encoder_memory_attention=_heads(4, 4),
    moe=MoEConfig(experts=20, top_k=4, expert_dim=256, bias="expert"),
    memory=MemoryConfig(slots=256, variant="gated"),
)

ALPHA_MINI = replace(
    ALPHA_MICRO,
    dim=256,
    heads=16,
    stateful_layers=8,
    decoder_attention=_heads(8, 8),
    cross_attention=_heads(8, 8),
    encoder_attention=_heads(8, 8),
    encoder_memory_attention=_heads(8, 4),
    encoder_dim=768,
    moe=MoEConfig(experts=16, top_k=2, expert_dim=512, bias="expert"),
    memory=MemoryConfig(slots=1024, variant="gated"),
    length=1024,
)

BETA = Architecture(
    dim=512,
    heads=16,
    stateful_layers=21,
    initial_layers=2,
    final_layers=2,
    decoder_attention=AttentionConfig(8, 4, gate="elementwise"),
    cross_attention=AttentionConfig(8, 4),
    # 8/4 here would give an encoder of 94 M, but the card says 97 M
    encoder_attention=AttentionConfig(8, 8, gate="elementwise"),
    dense_dim=1536,
    encoder_dim=1536,
    moe=MoEConfig(experts=384, top_k=10, expert_dim=192, shared_experts=2, shared_dim=384),
    memory=MemoryConfig(slots=4096, variant="grouped", groups=3),
    length=8192,
    rope_base=100_000.0,
)

FAMILY = {
    "alpha-micro-v1": Member(ALPHA_MICRO_V1.with_vocabulary(5_000), "encoder 1.88M, with memory 2.07M"),
    "alpha-micro": Member(
        ALPHA_MICRO.with_vocabulary(7_500), "decoder 9M, 3.5M active; encoder 2.1M; memory attention 1.2M; whole 12M"
    ),
    "alpha-micro-plus": Member(ALPHA_MICRO_PLUS.with_vocabulary(7_500), "decoder 22.4M, 6.5M active; encoder 3.1M"),
    "alpha-mini": Member(ALPHA_MINI.with_vocabulary(10_000), "with memory: decoder 60M; encoder 11M"),
    "beta": Member(BETA.with_vocabulary(65_536), "decoder 2.85B, 190M active; encoder 97M; MLM head 33.8M"),
}
