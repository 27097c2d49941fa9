"""The memory write: against its formula, its bounds, its gradient, and its independence between conversations."""

import pytest
import torch

from rxt_model.config import ConfigError, MemoryConfig
from rxt_model.memory import CompetitiveWrite, ResidualGate, memory_statistics
from rxt_model.state import ConversationState
from tests.models import small_config, small_model

VARIANTS = ["simple", "self", "interlayer", "gated", "grouped", "competitive"]


def encoded_for(model, seed: int, rows: int = 1, length: int = 7):
    ids = torch.randint(11, 64, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids, dtype=torch.bool)
    return model.encode(ids, mask), mask


def test_competitive_write_equals_its_formula_in_fp64():
    torch.manual_seed(0)
    write = CompetitiveWrite(small_config()).double()
    torch.nn.init.normal_(write.log_temperature)
    slots, encoded = torch.randn(6, 32).double(), torch.randn(5, 32).double()

    def rms(x, weight):
        return x * weight / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    rope = torch.ones(5, 4, dtype=torch.complex64)  # position 0 everywhere: the context alone is rotary
    e = rms(encoded, write.input_norm.weight)
    q, k, v = (write.context.project.weight @ e.T).T.double().unflatten(-1, (12, 8)).split(4, 1)
    heads = []
    for head in range(4):
        scores = q[:, head] @ k[:, head].T / 8**0.5
        heads.append(scores.softmax(-1) @ v[:, head])
    e = e + torch.cat(heads, -1) @ write.context.out.weight.T
    n = rms(slots, write.memory_norm.weight) + write.slot_identity
    scores = (n @ write.query.weight.T) @ (e @ write.key.weight.T).T * write.log_temperature.exp() / 32**0.5
    shares = scores.softmax(0)
    u = (shares @ (e @ write.value.weight.T) / (shares.sum(1, keepdim=True) + 1e-6)) @ write.out.weight.T
    gate = torch.sigmoid(torch.cat((n, u), -1) @ write.gate.weight.T + write.gate.bias) * shares.amax(1, keepdim=True)
    expected = (1 - gate) * slots + gate * u

    # rotary embedding computes in fp32, hence the tolerance
    mask = torch.ones(1, 5, dtype=torch.bool)
    got = write(slots[None], None, write.project(encoded[None], rope, mask), mask)
    assert torch.allclose(got[0], expected, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_writes_each_conversation_by_itself(variant):
    groups = 2 if variant == "grouped" else 1
    model = small_model(memory=MemoryConfig(slots=6, variant=variant, groups=groups)).eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    encoded, mask = encoded_for(model, 1, rows=2)
    both = model.write(memory, encoded, mask)
    alone = model.write(memory[:, 1:], encoded[:, 1:], mask[1:])
    assert torch.allclose(both[:, 1:], alone, atol=1e-5)
    assert not torch.allclose(both, memory)


def test_variants_build_their_own_networks():
    names = {
        variant: frozenset(
            name for name, _ in small_model(memory=MemoryConfig(slots=6, variant=variant)).named_parameters()
        )
        for variant in ["simple", "self", "interlayer", "gated", "competitive"]
    }
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(("variant", "writes", "rank"), [*((v, 5, 1.001) for v in VARIANTS), ("competitive", 40, 2.0)])
def test_sigmoid_gated_writes_keep_slots_apart_and_bounded(variant, writes, rank):
    model = small_model(memory=MemoryConfig(slots=6, variant=variant)).eval()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for turn in range(writes):
            encoded, mask = encoded_for(model, turn)
            memory = model.write(memory, encoded, mask)
    statistics = memory_statistics(memory)
    assert statistics.effective_rank.min() > rank
    assert statistics.rms.max() < 10


def test_ungated_writes_grow():
    model = small_model(memory=MemoryConfig(slots=6, variant="self", gate="none")).eval()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded, mask = encoded_for(model, 0)
        first = model.write(memory, encoded, mask)
        last = first
        for _ in range(40):
            last = model.write(last, encoded, mask)
    assert last.pow(2).mean() > 20 * first.pow(2).mean()


@pytest.mark.parametrize(("kind", "expected"), [("static", 0.9526), ("linear", 0.9526), ("elementwise", 0.5)])
def test_gates_start_as_open_as_documented(kind, expected):
    torch.manual_seed(0)
    gate = ResidualGate(MemoryConfig(slots=16, gate=kind))
    old, new = torch.zeros(64, 16, 256), torch.randn(64, 16, 256)
    new = new - new.mean(-1, keepdim=True)
    openness = (gate(old, new) / new.where(new != 0, 1)).mean().item()
    assert openness == pytest.approx(expected, abs=0.02)


def test_gradient_reaches_an_interaction_two_writes_back():
    model = small_model()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    encoded, mask = encoded_for(model, 1)
    first = encoded.detach().requires_grad_()
    memory = model.write(memory, first, mask)
    memory = model.write(memory, encoded_for(model, 2)[0], mask)
    model.decode(torch.tensor([[2, 5, 20]]), memory).hidden.sum().backward()
    assert first.grad.abs().max() > 0


def test_a_row_without_tokens_keeps_its_memory():
    model = small_model().eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    ids = torch.tensor([[11, 12, 13], [0, 0, 0]])
    written = model.write(memory, model.encode(ids, ids != 0), ids != 0)
    assert torch.equal(written[:, 1], memory[:, 1])
    assert not torch.equal(written[:, 0], memory[:, 0])


def test_equal_slots_are_refused_as_a_start():
    with pytest.raises(ConfigError, match=r"memory.init_std = 0.0: must be positive"):
        MemoryConfig(slots=4, init_std=0.0)


def test_conversation_state_saves_and_loads_bit_for_bit(tmp_path):
    model = small_model().eval()
    state = ConversationState.new(model, seed=3).written(model, [2, 5, 20, 6, 21, 3])
    state.save(tmp_path / "state.safetensors")
    loaded = ConversationState.load(tmp_path / "state.safetensors", model)
    assert loaded.turns == 1 and torch.equal(loaded.memory, state.memory)
    other = small_model(memory=MemoryConfig(slots=7, variant="competitive"))
    with pytest.raises(ValueError, match=r"state.safetensors: memory.shape = \(2, 1, 6, 32\): must be \(2, 1, 7, 32\)"):
        ConversationState.load(tmp_path / "state.safetensors", other)
