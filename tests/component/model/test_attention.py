"""Masks, positions and packing: what a token may see, and that padding changes nothing."""

import math

import pytest
import torch

from rxt_model.baseline import StatelessDecoder
from rxt_model.layers.parts import rope, rotate
from rxt_model.model import ReactiveTransformer, seeded
from tests.support.models import small_config, small_model


@pytest.fixture(scope="module")
def model():
    return small_model().eval()


def ids_of(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(11, 64, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_rotary_embedding_equals_the_rotation_of_each_pair():
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    rotated = rotate(x.float(), rope(torch.arange(9), 8, 100.0)).double()
    for position in range(9):
        for pair in range(4):
            angle = position * 100.0 ** (-2 * pair / 8)
            a, b = x[0, position, 2 * pair].item(), x[0, position, 2 * pair + 1].item()
            expected = (a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle))
            assert rotated[0, position, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-5)


def test_rotary_angles_stay_exact_at_far_positions():
    positions = torch.tensor([8190, 8191])
    angles = positions.double() * 100_000.0 ** (-2 / 32)
    table = rope(positions, 32, 100_000.0)[:, 1]
    assert torch.allclose(table.real.double(), angles.cos(), atol=1e-6)


def test_decoder_is_causal(model):
    ids = ids_of(1, 12)
    changed = ids.clone()
    changed[0, 7] = 11 + (changed[0, 7] - 10) % 50
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    before, after = (model.decode(x, memory).hidden for x in (ids, changed))
    assert torch.allclose(before[:, :7], after[:, :7], atol=1e-5)
    assert not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


def test_padding_changes_neither_decoder_nor_encoder_nor_memory(model):
    ids = ids_of(2, 9)
    ids[1, 6:] = 0
    mask = ids != 0
    padded = torch.nn.functional.pad(ids, (0, 5))
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    encoded, wide = model.encode(ids, mask), model.encode(padded, padded != 0)
    assert torch.allclose(encoded[:, mask], wide[:, :, :9][:, mask], atol=1e-5)
    assert torch.allclose(model.write(memory, encoded, mask), model.write(memory, wide, padded != 0), atol=1e-5)
    alone = model.decode(ids[1:, :6], memory[:, 1:]).hidden
    assert torch.allclose(model.decode(padded, memory, mask=padded != 0).hidden[1:, :6], alone, atol=1e-5)


def test_a_packed_document_reads_as_if_alone(model):
    ids = ids_of(1, 10)
    documents = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, -1]])
    real = documents >= 0
    encoded = model.encode(ids, real, documents)
    assert torch.allclose(encoded[:, :, 4:9], model.encode(ids[:, 4:9], real[:, 4:9]), atol=1e-5)
    packed = model.decode(ids, encoded, mask=real, documents=documents, memory_documents=documents).hidden
    alone = model.decode(ids[:, 4:9], encoded[:, :, 4:9]).hidden
    assert torch.allclose(packed[:, 4:9], alone, atol=1e-5)


def test_one_memory_serves_consecutive_rows_as_copies_would(model):
    ids, states = ids_of(6, 5), torch.randn(2, 2, 7, 32)
    readable = torch.rand(6, 7) < 0.7
    readable[:, 0] = True
    shared = model.decode(ids, states, memory_mask=readable).hidden
    copied = model.decode(ids, states.repeat_interleave(3, 1), memory_mask=readable).hidden
    assert torch.allclose(shared, copied, atol=1e-5)


@pytest.mark.parametrize("kind", [ReactiveTransformer, StatelessDecoder])
def test_copying_start_makes_an_attended_state_predict_its_token(kind):
    """One attention step alone passes values of a token's embedding through `out` and the head. Most tokens must
    predict themselves."""
    model = seeded(lambda: kind(small_config(copy_start=True)), 0)
    layer = model.decoder.stateful[0]
    attention = layer.memory_read if kind is ReactiveTransformer else layer.attention
    heads, width = attention.query_heads, attention.out.weight.shape[1]
    fused = attention.key_value.weight if kind is ReactiveTransformer else attention.project.weight
    if kind is ReactiveTransformer:
        values = fused[width:]
    else:
        head_dim = width // heads
        values = fused[(heads + attention.kv_heads) * head_dim :][: attention.kv_heads * head_dim]
        values = values.unflatten(0, (attention.kv_heads, -1)).repeat_interleave(heads // attention.kv_heads, 0)
        values = values.flatten(0, 1)
    read = model.embedding.weight @ values.T @ attention.out.weight.T
    predicted = (read @ model.decoder.head.weight.T).argmax(-1)
    assert (predicted == torch.arange(64)).float().mean() > 0.5
    itself = (model.embedding.weight @ model.decoder.head.weight.T).argmax(-1)
    assert (itself == torch.arange(64)).float().mean() < 0.2


def test_fresh_gates_are_half_open_and_differ_between_channels():
    """Gates must not be saturated at the start: a gate that is shut or wide open has no gradient."""
    model, x = small_model(), torch.randn(500, 32)
    layers = [*model.decoder.initial, *model.decoder.stateful, *model.decoder.final, *model.encoder.layers]
    for attention in (layer.attention for layer in layers):
        gates = attention.project(x).split(attention.widths, -1)[1].sigmoid()
        assert gates.shape[1] == 16
        assert ((gates < 0.01) | (gates > 0.99)).float().mean() < 0.01
        assert gates.mean().item() == pytest.approx(0.5, abs=0.1) and gates.std(1).mean() > 0.02


def test_one_embedding_serves_encoder_and_decoder_and_the_head_is_its_own_also_after_loading():
    model = small_model()
    model.load_state_dict(small_model(seed=1).state_dict(), assign=True)
    ids, head = ids_of(1, 5), model.decoder.head.weight.clone()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    before = model.encode(ids, ids > 0), model.decode(ids, memory).hidden
    with torch.no_grad():
        model.embedding.weight += torch.randn(64, 32)
    after = model.encode(ids, ids > 0), model.decode(ids, memory).hidden
    assert not any(torch.allclose(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(model.decoder.head.weight, head)
    names = [name for name, p in model.named_parameters(remove_duplicate=False) if p.shape == (64, 32)]
    assert names == ["embedding.weight", "decoder.head.weight", "mlm_head.decode.weight"]
