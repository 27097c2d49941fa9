"""Parameter counts against the published cards, on the meta device."""

import pytest
import torch

from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, MoEConfig
from rxt_model.model import ReactiveTransformer
from rxt_model.size import active_parameters, parameters
from tests.models import small_config

BETA = Architecture(
    dim=512,
    heads=16,
    stateful_layers=21,
    initial_layers=2,
    final_layers=2,
    decoder_attention=AttentionConfig(query_heads=8, kv_heads=4, gate="elementwise"),
    cross_attention=AttentionConfig(query_heads=8, kv_heads=4),
    encoder_attention=AttentionConfig(query_heads=8, kv_heads=8, gate="elementwise"),
    dense_dim=1536,
    encoder_dim=1536,
    moe=MoEConfig(experts=384, top_k=10, expert_dim=192, shared_experts=2, shared_dim=384),
    memory=MemoryConfig(slots=4096, variant="grouped", groups=3),
    length=8192,
    rope_base=100_000.0,
).with_vocabulary(65_536, "")


@pytest.fixture(scope="module")
def beta() -> ReactiveTransformer:
    with torch.device("meta"):
        return ReactiveTransformer(BETA)


def test_beta_parts_have_the_exact_counts_of_the_cards(beta):
    embedding = parameters(beta.embedding)
    assert parameters(beta.decoder) + embedding == 2_841_937_920
    assert active_parameters(beta.decoder) + embedding == 194_807_808
    assert parameters(beta.encoder) + embedding == 96_958_976
    assert parameters(beta.memory_attention) == 22_332_416
    assert parameters(beta.mlm_head) == 33_883_648


def test_beta_whole_system_counts_the_shared_embedding_once(beta):
    assert parameters(beta) - parameters(beta.mlm_head) == 2_927_674_880


def test_baseline_has_the_active_size_of_the_reactive_model():
    config = small_config()
    target = active_parameters(ReactiveTransformer(config, mlm_head=False))
    assert active_parameters(StatelessDecoder(matching_config(config))) == pytest.approx(target, rel=0.05)
