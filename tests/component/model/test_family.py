"""What the cards add to a layer (encoders that read memory, experts with biases, norms of heads), and that small Alphas
run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from rxt_model.config import AttentionConfig, MemoryConfig, MoEConfig
from rxt_model.encoder import EncoderLayer
from rxt_model.family import FAMILY
from rxt_model.generate import answer
from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import rope
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.moe.layer import MoELayer
from rxt_model.state import ConversationState
from tests.support.models import small_config, small_model

QUERY = [2, 5, 20, 30]
ALL_REAL = Layout.of(torch.Size((1, 5)), None)


@pytest.mark.parametrize("name", [name for name in FAMILY if name.startswith("alpha")])
def test_an_alpha_answers_and_writes(name):
    model = seeded(lambda: ReactiveTransformer(FAMILY[name].config, mlm_head=False), 0).eval()
    before = ConversationState.new(model)
    (said,) = answer(model, before.memory, [QUERY], [4])
    after = before.written(model, QUERY + said)
    assert 1 <= len(said) <= 4 and max(said) < model.config.vocab_size
    assert after.turns == 1 and after.memory.shape == before.memory.shape
    assert after.memory.isfinite().all() and not torch.allclose(after.memory, before.memory)


def rms(x, weight):
    return x * weight / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def turned(x, base=10_000.0):
    """Rotate x [T, heads, head_dim], pair by pair."""
    out = torch.empty_like(x)
    for position in range(x.shape[0]):
        for pair in range(x.shape[-1] // 2):
            angle = torch.tensor(position * base ** (-2 * pair / x.shape[-1]), dtype=torch.float64)
            a, b = x[position, :, 2 * pair], x[position, :, 2 * pair + 1]
            out[position, :, 2 * pair] = a * angle.cos() - b * angle.sin()
            out[position, :, 2 * pair + 1] = a * angle.sin() + b * angle.cos()
    return out


def attended(q, k, v):
    """Map q [T, Hq, dh], k and v [S, Hkv, dh] to [T, Hq * dh], one head after the other."""
    heads = []
    for head in range(q.shape[1]):
        source = head * k.shape[1] // q.shape[1]
        weights = (q[:, head] @ k[:, source].T / q.shape[-1] ** 0.5).softmax(-1)
        heads.append(weights @ v[:, source])
    return torch.cat(heads, -1)


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double()


@pytest.mark.parametrize("gate", ["none", "elementwise", "headwise"])
def test_self_attention_with_head_norms_equals_its_formula(gate):
    module = randomised(SelfAttention(32, 8, AttentionConfig(4, 2, gate, output_bias=True, qk_norm=True), 1e-6))
    x = torch.randn(5, 32).double()
    split = (32, 16, 16, {"none": 0, "elementwise": 32, "headwise": 4}[gate])
    w_q, w_k, w_v, w_g = module.project.weight.split(split)
    q, k, v = ((x @ w.T).unflatten(-1, (-1, 8)) for w in (w_q, w_k, w_v))
    q, k = turned(rms(q, module.query_norm.weight)), turned(rms(k, module.key_norm.weight))
    a = attended(q, k, v)
    if gate != "none":
        a = a * (x @ w_g.T).sigmoid().repeat_interleave(1 if gate == "elementwise" else 8, -1)
    expected = a @ module.out.weight.T + module.out.bias
    assert torch.allclose(module(x, rope(torch.arange(5), 8, 10_000.0), ALL_REAL), expected, atol=1e-5)


@pytest.mark.parametrize("normed", [False, True])
def test_an_encoder_that_reads_memory_equals_its_formula(normed):
    reader = AttentionConfig(4, 2, output_bias=True, qk_norm=normed)
    layer = randomised(EncoderLayer(small_config(encoder_memory_attention=reader)))
    x, slots = torch.randn(5, 32).double(), torch.randn(1, 6, 32).double()
    angles, mask = rope(torch.arange(5), 8, 10_000.0), torch.ones(1, 1, 5, 5, dtype=torch.bool)
    read = layer.memory_read
    h = x + layer.attention(rms(x, layer.attention_norm.weight), angles, ALL_REAL, mask)
    q = (rms(h, layer.memory_query_norm.weight) @ read.query.weight.T).unflatten(-1, (4, 8))
    source = rms(slots[0], layer.memory_norm.weight)
    k, v = (source @ read.key_value.weight.T).unflatten(-1, (4, 8)).chunk(2, 1)
    if normed:
        q, k = rms(q, read.query_norm.weight), rms(k, read.key_norm.weight)
    h = h + attended(turned(q), k, v) @ read.out.weight.T + read.out.bias
    expected = h + layer.feed_forward(rms(h, layer.feed_forward_norm.weight))
    assert torch.allclose(layer(x, angles, ALL_REAL, mask, slots), expected, atol=1e-5)


def test_head_norms_make_attention_independent_of_the_scale_of_queries_and_keys():
    x, slots = torch.randn(5, 32), torch.randn(1, 6, 32)
    for normed in (False, True):
        torch.manual_seed(0)
        module = CrossAttention(32, 8, AttentionConfig(4, 2, qk_norm=normed), 1e-6)
        before = module(x, ALL_REAL, module.keys_values(slots))
        with torch.no_grad():
            module.query.weight *= 30
        assert torch.allclose(module(x, ALL_REAL, module.keys_values(slots)), before, atol=1e-4) is normed


def test_an_encoder_reads_its_own_memory_or_says_that_it_needs_one():
    model = small_model(encoder_memory_attention=AttentionConfig(2, 1)).eval()
    ids = torch.randint(11, 64, (2, 7))
    real = torch.ones_like(ids, dtype=torch.bool)
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    encoded = model.encode(ids, real, memory=memory)
    changed = memory.clone()
    changed[:, 1] += torch.randn(changed[:, 1].shape)
    again = model.encode(ids, real, memory=changed)
    assert torch.equal(again[:, 0], encoded[:, 0]) and not torch.allclose(again[:, 1], encoded[:, 1], atol=1e-3)
    with pytest.raises(ValueError, match="memory = None: an encoder with encoder_memory_attention reads"):
        model.encode(ids, real)
    plain = small_model().eval()
    assert torch.equal(plain.encode(ids, real, memory=memory), plain.encode(ids, real))


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_experts_with_biases_equal_a_loop_over_tokens(shared):
    layer = MoELayer(8, MoEConfig(4, 2, 6, shared, 5 if shared else 0, bias="expert"))
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(13, 8)
    y, _ = layer(x)
    y.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    layer.double()

    def swiglu(row, w_in, b_in, w_out, b_out):
        linear, gate = (row @ w_in + b_in).chunk(2)
        return (linear * F.silu(gate)) @ w_out + b_out

    rows, routed = [], layer.experts
    for row in x.double():
        p = (layer.router.weight @ row).softmax(0)
        chosen = p.argsort(descending=True)[:2]
        weights = p[chosen] / p[chosen].sum()
        parts = [(routed.w_in[e], routed.b_in[e], routed.w_out[e], routed.b_out[e]) for e in chosen]
        if shared:
            gate = (layer.shared.gate.weight @ row).softmax(0) if shared > 1 else torch.ones(1).double()
            weights = torch.cat((weights, gate))
            parts += [(e.up.weight.T, e.up.bias, e.down.weight.T, e.down.bias) for e in layer.shared.experts]
        rows.append(sum(weight * swiglu(row, *part) for weight, part in zip(weights, parts, strict=True)))
    expected = torch.stack(rows)
    expected.square().sum().backward()
    assert torch.allclose(y.double(), expected, atol=1e-5)
    for name, parameter in layer.named_parameters():
        assert torch.allclose(gradients[name].double(), parameter.grad, rtol=1e-3, atol=1e-3), name


def test_fresh_biases_of_experts_are_zero():
    model = small_model(moe=replace(small_config().moe, bias="expert"))
    experts = model.decoder.stateful[0].feed_forward.experts
    assert not experts.b_in.any() and not experts.b_out.any() and experts.w_in.std() > 0.1


def test_the_head_norm_of_an_alpha_removes_the_mean():
    ids = torch.randint(11, 64, (1, 9))
    means = {}
    for kind in ("rms", "layer"):
        model = small_model(head_norm=kind).eval()
        means[kind] = model.decode(ids, model.initial_memory(1)).hidden.mean(-1).abs().max()
    assert means["layer"] < 1e-5 < 1e-2 < means["rms"]


@pytest.mark.parametrize("std", [0.02, 1.0])
def test_memory_starts_as_wide_as_configured(std):
    model = small_model(memory=MemoryConfig(slots=64, init_std=std))
    memory = model.initial_memory(8, torch.Generator().manual_seed(0))
    assert memory.std().item() == pytest.approx(std, rel=0.03) and abs(memory.mean().item()) < 0.03 * std
    assert not torch.equal(memory[:, :, 0], memory[:, :, 1])


@torch.no_grad()
def test_cached_answers_equal_uncached_ones_with_head_norms():
    heads = AttentionConfig(4, 2, "headwise", qk_norm=True)
    model = small_model(decoder_attention=heads, cross_attention=AttentionConfig(2, 1, qk_norm=True)).eval()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    (said,) = answer(model, memory, [QUERY], [8])
    ids = torch.tensor([QUERY + said])
    predicted = model.logits(model.decode(ids, memory).at(0, slice(len(QUERY) - 1, -1))).argmax(-1)
    assert predicted.tolist() == said
