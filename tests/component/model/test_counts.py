"""Parameter counts against the published cards, block by block, on the meta device; FLOPs against counted ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.config import AttentionConfig, DeltaConfig, MemoryConfig, ModelConfig
from rxt_model.decoder import DecoderLayer
from rxt_model.family import FAMILY
from rxt_model.layers.parts import SwiGLU
from rxt_model.memory.registry import WRITES
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.layer import MoELayer
from rxt_model.size import active_parameters, parameters, size_of
from tests.support.models import small_config, small_model

BETA = FAMILY["beta"].config


@cache
def built(config: ModelConfig) -> ReactiveTransformer:
    with torch.device("meta"):
        return ReactiveTransformer(config)


def sizes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return parameters and active parameters of every part."""
    return {part.name: (part.parameters, part.active) for part in size_of(config).parts}


def test_beta_has_the_exact_counts_of_the_cards():
    found = sizes(BETA)
    assert found["decoder"] == (2_841_937_920, 194_807_808)
    assert size_of(BETA).without_routers == 190_089_216
    assert found["encoder"] == (96_958_976, 96_958_976)
    assert found["memory attention"] == (22_332_416, 22_332_416)
    assert found["MLM head"] == (33_883_648, 33_883_648)
    assert found["whole"][0] == 2_927_674_880
    assert found["whole with MLM head"][0] == 2_961_558_528


def test_beta_block_by_block():
    model = built(BETA)
    stateful, moe = model.decoder.stateful[0], model.decoder.stateful[0].feed_forward
    blocks = {
        stateful.attention: 524_288,
        stateful.memory_read: 393_216,
        model.encoder.layers[0].attention: 655_360,
        model.decoder.initial[0].feed_forward: 2_362_880,
        moe: 114_624_512,
        moe.experts: 113_246_208,
        moe.router: 196_608,
        moe.shared.experts: 1_179_648,
        moe.shared.gate: 1_024,
        model.embedding: 33_554_432,
        model.decoder.head: 33_619_968,
        model.decoder.norm: 512,
        model.encoder: 63_404_544,
    }
    assert {block: parameters(block) for block in blocks} == blocks
    assert moe.bias.numel() + moe.shared.bias.numel() == 1_024
    layers = [part for part in model.decoder.modules() if isinstance(part, DecoderLayer)]
    assert len(layers) == 25 and len(model.decoder.stateful) == 21
    assert sum(isinstance(layer.feed_forward, MoELayer) for layer in layers) == 24
    assert isinstance(layers[0].feed_forward, SwiGLU)


def test_beta_with_its_memory_and_as_it_was_not_published():
    decoder = sizes(BETA)["decoder"][0]
    assert decoder + size_of(BETA).memory == 2_885_978_112
    assert sizes(BETA)["decoder"][1] - parameters(built(BETA).embedding) == 161_253_376
    narrow = replace(BETA, encoder_attention=AttentionConfig(8, 4, gate="elementwise"))
    assert sizes(narrow)["encoder"][0] == 94_206_464
    literal = replace(
        BETA,
        moe=replace(BETA.moe, bias="expert"),
        decoder_attention=replace(BETA.decoder_attention, output_bias=True),
        cross_attention=replace(BETA.cross_attention, output_bias=True),
    )
    assert sizes(literal)["decoder"][0] == 2_850_255_872


@pytest.mark.parametrize("slots", [512, 2048, 4096])
def test_beta_memory_attention_grows_with_its_gates_alone(slots):
    memory = replace(BETA.memory, slots=slots)
    assert sizes(replace(BETA, memory=memory))["memory attention"][0] == 22_074_368 + 63 * slots


def test_first_alpha_encoder_block_by_block():
    config = FAMILY["alpha-micro-v1"].config
    layer = built(config).encoder.layers[0]
    norms = (layer.attention_norm, layer.memory_query_norm, layer.memory_norm, layer.feed_forward_norm)
    assert [parameters(part) for part in (layer.attention, layer.memory_read, layer.feed_forward)] == [
        32_896, 24_704, 148_352
    ]  # fmt: skip
    assert [parameters(norm) for norm in norms] == [128] * 4
    assert sizes(config)["encoder"][0] == 1_878_784
    assert sizes(config)["encoder"][0] + size_of(config).memory == 2_075_392


@pytest.mark.parametrize(
    ("name", "decoder", "encoder", "head"),
    [
        ("alpha-micro", (9_458_764, 3_522_124), 2_049_024, 984_268),
        ("alpha-micro-plus", (22_405_196, 6_574_156), 3_106_560, 984_268),
        ("alpha-mini", (57_768_208, 13_584_656), 9_140_224, 2_636_304),
    ],
)
def test_later_alphas_agree_with_their_rounded_cards(name, decoder, encoder, head):
    found = sizes(FAMILY[name].config)
    assert (found["decoder"], found["encoder"][0], found["MLM head"][0]) == (decoder, encoder, head)


def test_alpha_micro_and_mini_round_to_their_cards():
    micro, mini = sizes(FAMILY["alpha-micro"].config), sizes(FAMILY["alpha-mini"].config)
    assert micro["memory attention"][0] == pytest.approx(1.2e6, rel=0.02)
    assert micro["whole"][0] == pytest.approx(12e6, rel=0.03)
    memory = size_of(FAMILY["alpha-mini"].config).memory
    assert memory == 2_097_152
    assert mini["decoder"][0] + memory == pytest.approx(60e6, rel=0.01)
    assert mini["encoder"][0] + memory == pytest.approx(11e6, rel=0.03)


def expected_parts(c: ModelConfig) -> dict[str, int]:
    """Compute the counts by the formulas of the cards, without the embedding."""
    d, dh = c.dim, c.head_dim

    def attention(a: AttentionConfig, bias: bool | None = None) -> int:
        gate = {"none": 0, "elementwise": d * a.query_heads * dh, "headwise": d * a.query_heads}[a.gate]
        bias = a.output_bias if bias is None else bias
        return d * dh * (2 * a.query_heads + 2 * a.kv_heads) + gate + bias * d + a.qk_norm * 2 * dh

    def swiglu(f: int, bias: bool) -> int:
        return 3 * d * f + bias * (2 * f + d)

    own, m = c.moe.bias == "expert", c.moe
    moe = m.experts * swiglu(m.expert_dim, own) + d * m.experts + m.shared_experts * swiglu(m.shared_dim, own)
    moe += d * m.shared_experts * (m.shared_experts > 1) + (0 if own else d + d * (m.shared_experts > 0))
    layers = c.initial_layers + c.stateful_layers + c.final_layers
    decoder = layers * (attention(c.decoder_attention) + 2 * d)
    decoder += c.stateful_layers * (attention(c.cross_attention) + 2 * d)
    if c.delta is not None:
        h, inner = c.delta.heads, c.delta.heads * dh
        delta = d * (4 * inner + 2 * h) + 3 * inner * c.delta.kernel + h + dh + inner * d
        decoder += c.stateful_layers * (delta + 2 * d * inner + 3 * d * h + 2 * h - attention(c.decoder_attention))
    decoder += min(1, c.initial_layers) * swiglu(c.dense_dim, True) + (layers - min(1, c.initial_layers)) * moe
    decoder += c.vocab_size * (d + 1) + d * (2 if c.head_norm == "layer" else 1)
    encoder = attention(c.encoder_attention) + swiglu(c.encoder_dim, True) + 2 * d
    decoder += len(c.decoder_neighbours) * d * d
    if c.encoder_memory_attention is not None:
        encoder += attention(c.encoder_memory_attention) + 2 * d

    s, variant = c.memory.slots, c.memory.variant
    gate = {"none": 0, "static": s, "elementwise": s, "linear": s * s + s}[c.memory.gate]
    reader = attention(replace(c.memory.attention or c.encoder_attention, gate="none"), bias=True) + d  # with its norm
    writes = {
        "simple": reader + d + gate,
        "self": 2 * reader + d + 2 * gate,
        "interlayer": 2 * reader + d + 2 * gate,
        "gated": 2 * reader + d + 3 * gate,
        "grouped": 2 * reader + d + 3 * gate,
        "competitive": 4 * d * d + 2 * d + s * d + 4 * d * d + 2 * d * d + d + 1,
        "selective": d + d * d + d + d + 1,
    }
    assert variant in writes, f"`writes` of tests/component/model/test_counts.py has no count for {variant}"
    mean = d * (variant in ("interlayer", "gated", "grouped"))
    return {
        "decoder": decoder,
        "encoder": c.stateful_layers * encoder + len(c.encoder_neighbours) * d * d,
        "memory_attention": c.stateful_layers * writes[variant] + mean,
        "mlm_head": d * d + d + 2 * d + c.vocab_size * (d + 1),
    }


@pytest.mark.parametrize(
    "change",
    [
        dict(dim=64),
        dict(heads=8),
        dict(stateful_layers=4),
        dict(initial_layers=0),
        dict(initial_layers=3),
        dict(final_layers=2),
        dict(decoder_attention=AttentionConfig(4, 4)),
        dict(decoder_attention=AttentionConfig(2, 1, gate="headwise")),
        dict(cross_attention=AttentionConfig(2, 1, qk_norm=True)),
        dict(encoder_attention=AttentionConfig(4, 1, output_bias=True, qk_norm=True)),
        dict(encoder_memory_attention=AttentionConfig(2, 1)),
        dict(dense_dim=40),
        dict(encoder_dim=40),
        dict(head_norm="layer"),
        dict(encoder_neighbours=(1, 2, -1)),
        dict(decoder_neighbours=(1,)),
        dict(delta=DeltaConfig(3)),
        dict(delta=DeltaConfig(8, kernel=2)),
        *(
            dict(moe=replace(small_config().moe, **changes))
            for changes in (
                dict(experts=5),
                dict(expert_dim=8),
                dict(bias="expert"),
                dict(shared_experts=1),
                dict(shared_experts=0, shared_dim=0),
                dict(shared_dim=24),
            )
        ),
        *(
            dict(memory=MemoryConfig(slots=8, **changes))
            for changes in (
                *(dict(variant=name) for name in WRITES),
                dict(variant="interlayer", gate="linear"),
                dict(variant="gated", gate="static"),
                dict(variant="grouped", groups=2, attention=AttentionConfig(4, 4)),
            )
        ),
    ],
    ids=str,
)
def test_a_changed_field_changes_the_count_as_the_formulas_say(change):
    before = small_config(memory=MemoryConfig(slots=6, variant="grouped"))
    config = replace(before, **change)
    parts = {name: parameters(getattr(built(config), name)) for name in expected_parts(config)}
    assert parts == expected_parts(config)
    assert sum(parts.values()) != sum(expected_parts(before).values())


def test_baseline_has_the_active_size_of_the_reactive_model():
    config = small_config()
    target = active_parameters(ReactiveTransformer(config, mlm_head=False))
    assert active_parameters(StatelessDecoder(matching_config(config))) == pytest.approx(target, rel=0.05)


VARIANTS = [
    *(dict(memory=MemoryConfig(slots=6, variant=name)) for name in WRITES),
    dict(memory=MemoryConfig(slots=6, variant="interlayer", gate="linear")),
    dict(memory=MemoryConfig(slots=40, variant="gated"), encoder_memory_attention=AttentionConfig(2, 1)),
    dict(moe=replace(small_config().moe, bias="expert"), initial_layers=0),
    dict(memory=MemoryConfig(slots=6, variant="selective"), encoder_neighbours=(1, 2, -1), decoder_neighbours=(1, 2)),
    dict(memory=MemoryConfig(slots=6, variant="selective"), copying=True),
    dict(delta=DeltaConfig(3)),
    dict(delta=DeltaConfig(3), length=140, memory=MemoryConfig(slots=40, variant="simple")),
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@torch.no_grad()
def test_flops_equal_those_that_torch_counts(changes):
    """One interaction has full length. Torch counts causal attention as if every token saw all tokens."""
    model = small_model(**changes)
    c, size = model.config, size_of(model.config)
    ids, memory = torch.randint(11, 64, (1, c.length)), model.initial_memory(1)
    real = torch.ones_like(ids, dtype=torch.bool)
    encoded = model.encode(ids, real, memory=memory)
    full = memory / c.memory.init_std
    full[..., -1] = 0  # of one interaction
    runs = {
        "decoder": lambda: model.logits(model.decode(ids, full)),
        "encoder": lambda: model.encode(ids, real, memory=memory),
        "memory attention": lambda: model.write(memory, encoded, real),
        "MLM head": lambda: model.mlm_head(encoded[-1]),
    }
    layers = c.initial_layers + c.stateful_layers + c.final_layers
    layers -= 0 if c.delta is None else c.stateful_layers  # these see no token twice
    unseen = 4 * layers * c.decoder_attention.query_heads * c.head_dim * (c.length - 1) / 2
    unseen += (c.dim + 2 * c.signature_dim + 1 + c.memory.slots if c.copying else 0) * (c.length - 1)
    # output biases of experts are added by a product with the shares of the experts
    stacks = [layer.experts for layer in model.decoder.modules() if isinstance(layer, MoELayer)]
    biases = sum(2 * experts.b_out.numel() for experts in stacks if experts.b_out is not None)
    parts = {part.name: part.flops for part in size.parts}
    for name, run in runs.items():
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            run()
        counted = {str(op): count / c.length for op, count in counter.get_flop_counts()["Global"].items()}
        found = f"{name}: torch counts {counted}. Matrices are mm and addmm, as `x @ weight.T` gives; einsum gives bmm."
        products = counted.pop("aten.mm", 0) + counted.pop("aten.addmm", 0)
        assert parts[name].matrices == pytest.approx(products - (biases if name == "decoder" else 0)), found
        attention = parts[name].attention + (unseen if name == "decoder" else 0)
        assert attention == pytest.approx(sum(counted.values())), found
    whole = parts["whole"]
    assert whole.matrices == pytest.approx(sum(parts[n].matrices for n in ("decoder", "encoder", "memory attention")))


def test_beta_flops_follow_from_its_matrices():
    """Each weight that a token meets costs two FLOPs. The key-value projection of the memory is applied to slots, not
    to tokens."""
    decoder = size_of(BETA).parts[1].flops
    attention, read, routed = 3 * 512 * 32 * 8 + 2 * 512 * 32 * 4, 2 * 512 * 256, 10 * 3 * 512 * 192
    moe = routed + 512 * 384 + 2 * 3 * 512 * 384 + 512 * 2
    weights = 25 * attention + 21 * read + 24 * moe + 3 * 512 * 1536 + 512 * 65_536
    assert decoder.matrices == 2 * weights + 21 * 2 * (2 * 512 * 128) * 4096 / 8192
    assert decoder.attention == 4 * 256 * (25 * 8193 / 2 + 21 * 4096)


@torch.no_grad()
def test_what_a_conversation_holds_is_what_the_model_makes():
    model = small_model(final_layers=2, cross_attention=AttentionConfig(4, 2))
    c, size = model.config, size_of(model.config)
    memory = model.initial_memory(1)
    assert size.memory == memory.numel()
    assert size.memory_cache == sum(k.numel() + v.numel() for k, v in model.decoder.read_projections(memory))
    assert size.cache == 5 * 2 * c.decoder_attention.kv_heads * c.head_dim * c.length
    delta = small_config(delta=DeltaConfig(3, kernel=4))
    assert size_of(delta).cache == 2 * 2 * 8 * delta.length + 2 * (3 * 8 * 8 + 3 * 3 * 24)
    beta = size_of(BETA)
    assert (beta.memory, beta.cache) == (44_040_192, 25 * 2 * 4 * 32 * 8192)
