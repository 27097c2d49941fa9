"""The memory write: its bounds, its independence of other conversations and of padding, and what it refuses."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rxt_model.config import ConfigError, MemoryConfig
from rxt_model.memory.gated import ResidualGate
from rxt_model.memory.registry import OPTIONS, WRITES
from rxt_model.memory.statistics import memory_statistics, rank_share
from rxt_model.state import ConversationState
from tests.reference.compare import assert_agree, shaken
from tests.support.models import small_model

COLLAPSING = ("simple", "self", "interlayer", "gated", "grouped")
"""Writes that make one vector of all slots within twelve turns."""
LASTING = [variant for variant in WRITES if variant not in COLLAPSING]


def encoded_for(model, seed: int, rows: int = 1, length: int = 7):
    ids = torch.randint(11, 64, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids, dtype=torch.bool)
    return model.encode(ids, mask), mask


@pytest.mark.parametrize("variant", WRITES)
def test_every_variant_writes_each_conversation_by_itself(variant):
    groups = 2 if variant == "grouped" else 1
    model = small_model(memory=MemoryConfig(slots=6, variant=variant, groups=groups)).eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    encoded, mask = encoded_for(model, 1, rows=2)
    both = model.write(memory, encoded, mask)
    alone = model.write(memory[:, 1:], encoded[:, 1:], mask[1:])
    assert torch.allclose(both[:, 1:], alone, atol=1e-5)
    assert not torch.allclose(both, memory)


@pytest.mark.parametrize("variant", WRITES)
@pytest.mark.parametrize(("length", "slots"), [(5, 6), (20, 6), (20, 40)])
@torch.no_grad()
def test_every_write_says_what_it_costs(variant, length, slots):
    model = small_model(memory=MemoryConfig(slots=slots, variant=variant))
    encoded, mask = encoded_for(model, 1, length=length)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.write(model.initial_memory(1), encoded, mask)
    said = model.memory_attention.flops(length, slots)
    assert said.matrices + said.attention == counter.get_total_flops(), "`flops` is not what torch counts"


def test_options_of_writes_are_options_of_the_memory():
    assert set(OPTIONS) < set(MemoryConfig.__dataclass_fields__)


def test_variants_build_their_own_networks():
    names = {
        variant: frozenset(
            name for name, _ in small_model(memory=MemoryConfig(slots=6, variant=variant)).named_parameters()
        )
        for variant in ["simple", "self", "interlayer", "gated", "competitive"]
    }
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("variant", "writes", "rank"), [*((v, 5, 1.001) for v in WRITES), *((v, 40, 2.0) for v in LASTING)]
)
def test_writes_keep_slots_apart_and_bounded(variant, writes, rank):
    model = small_model(memory=MemoryConfig(slots=6, variant=variant)).eval()
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for turn in range(writes):
            encoded, mask = encoded_for(model, turn)
            memory = model.write(memory, encoded, mask)
    statistics = memory_statistics(memory)
    assert statistics.effective_rank.min() > rank
    assert statistics.rms.max() < 10


@pytest.mark.parametrize("variant", WRITES)
def test_the_alarm_tells_writes_that_keep_their_rank_from_writes_that_collapse(variant):
    """After twelve writes at the published start. The share of slots that have become one vector is what one direction
    has of the 32 that are possible."""
    model = small_model(memory=MemoryConfig(slots=64, variant=variant)).eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for turn in range(12):
            encoded, mask = encoded_for(model, turn, length=12)
            memory = model.write(memory, encoded.repeat(1, 2, 1, 1)[:, :2], mask.repeat(2, 1)[:2])
    assert (rank_share(memory) < 0.1) == (variant in COLLAPSING), f"is {variant} rightly in or out of COLLAPSING?"


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


@pytest.mark.parametrize("kind", ["static", "elementwise", "linear"])
def test_a_sigmoid_gate_never_makes_a_slot_longer_than_what_it_blends(kind):
    gate = ResidualGate(MemoryConfig(slots=5, gate=kind))
    generator = torch.Generator().manual_seed(0)
    slots = torch.randn(2, 5, 8, generator=generator)
    longest = slots.norm(dim=-1)
    with torch.no_grad():
        for _ in range(128):
            update = torch.randn(2, 5, 8, generator=generator) * torch.rand(2, 5, 1, generator=generator) * 3
            slots, longest = gate(slots, update), longest.maximum(update.norm(dim=-1))
            assert (slots.norm(dim=-1) <= longest * 1.0001).all()


@pytest.mark.parametrize(("variant", "factor"), [*((v, 1.005) for v in COLLAPSING), *((v, 2.0) for v in LASTING)])
def test_more_slots_hold_more_directions(variant, factor):
    ranks = []
    for slots in (4, 16):
        model = small_model(memory=MemoryConfig(slots=slots, variant=variant)).eval()
        memory = model.initial_memory(1, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for turn in range(5):
                memory = model.write(memory, *encoded_for(model, turn, length=20))
        ranks.append(memory_statistics(memory).effective_rank.mean())
    assert ranks[1] > factor * ranks[0]


@torch.no_grad()
def test_memory_is_passed_in_and_returned_and_nothing_else_remembers():
    """A conversation interrupted by another one continues with the same bits as without it."""
    model = small_model().eval()
    assert not list(model.buffers())
    assert not any("stm" in name or name.endswith("memory") for name in model.state_dict())

    def talk(turns, interruption=lambda: None):
        memory = model.initial_memory(1, torch.Generator().manual_seed(0))
        heard = []
        for turn in turns:
            ids = torch.tensor([[2, 5, 20 + turn]])
            before = memory.clone()
            heard.append(model.decode(ids, memory).hidden)
            interruption()
            after = model.write(memory, *encoded_for(model, turn))
            assert torch.equal(memory, before)
            memory = after
        return [*heard, memory]

    alone = talk(range(3))
    between = talk(range(3), interruption=lambda: talk(range(5, 8)))
    assert all(torch.equal(a, b) for a, b in zip(alone, between, strict=True))


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("variant", WRITES)
def test_padding_changes_neither_the_memory_nor_a_gradient_whatever_its_length_and_content(variant):
    groups = 2 if variant == "grouped" else 1
    model = shaken(small_model(memory=MemoryConfig(slots=6, variant=variant, groups=groups)))
    memory = model.initial_memory(2, torch.Generator().manual_seed(0)).detach().requires_grad_()
    encoded, mask = encoded_for(model, 1, rows=2)
    encoded, lengths = encoded.detach(), (7, 4)
    alone = [
        model.write(memory[:, row : row + 1], encoded[:, row : row + 1, :length], mask[row : row + 1, :length])
        for row, length in enumerate(lengths)
    ]
    padded = torch.nn.functional.pad(encoded, (0, 0, 0, 9))
    real = torch.arange(16) < torch.tensor(lengths)[:, None]
    written = model.write(memory, padded.masked_fill(~real[..., None], 50.0), real)
    assert_agree(written, torch.cat(alone, 1), dict(model.memory_attention.named_parameters()) | {"memory": memory})


def test_padding_wins_nothing_in_a_competitive_write():
    """Padding with tokens that every slot would want changes nothing, whatever their number."""
    model = small_model().eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    encoded, mask = encoded_for(model, 1, rows=2)
    mask[1, 4:] = False
    wanted = encoded.detach().clone()
    wanted[:, 1, 4:] = 100 * model.memory_attention.layers[0].slot_identity[0]
    wanted = torch.nn.functional.pad(wanted, (0, 0, 0, 9), value=50.0).detach().requires_grad_()
    written = model.write(memory, wanted, torch.nn.functional.pad(mask, (0, 9)))
    alone = model.write(memory[:, 1:], encoded[:, 1:, :4], mask[1:, :4])
    assert torch.allclose(written[:, 1:], alone, atol=1e-5)
    assert torch.allclose(written[:, :1], model.write(memory[:, :1], encoded[:, :1], mask[:1]), atol=1e-5)
    written.square().sum().backward()
    assert wanted.grad[:, 0, :7].any(-1).all() and wanted.grad[:, 1, :4].any(-1).all()
    assert not wanted.grad[:, 0, 7:].any() and not wanted.grad[:, 1, 4:].any()


@torch.no_grad()
def test_a_slot_that_wins_no_token_keeps_its_content_whatever_the_padding():
    model = small_model(stateful_layers=1).eval()
    write = model.memory_attention.layers[0]
    encoded, mask = encoded_for(model, 1, length=12)
    mask[:, 4:] = False
    keys = model.project(encoded, mask).chunk(2, -1)[0][0, 0, :4]
    wanted_by_all = torch.linalg.pinv(keys).sum(1)  # its product with every real key is 1
    write.memory_norm.weight.zero_()
    write.query.weight.copy_(torch.eye(32))
    write.slot_identity.copy_(-wanted_by_all.expand(6, -1))
    write.slot_identity[2] *= -1
    write.log_temperature.fill_(6.0)
    memory = torch.randn(1, 1, 6, 32)
    change = (model.write(memory, encoded, mask) - memory)[0, 0].abs().amax(1)
    assert change[2] > 0.1
    assert change[[0, 1, 3, 4, 5]].max() < 1e-6


def test_a_row_without_tokens_keeps_its_memory():
    model = small_model().eval()
    memory = model.initial_memory(2, torch.Generator().manual_seed(0))
    ids = torch.tensor([[11, 12, 13], [0, 0, 0]])
    written = model.write(memory, model.encode(ids, ids != 0), ids != 0)
    assert torch.equal(written[:, 1], memory[:, 1])
    assert not torch.equal(written[:, 0], memory[:, 0])


@pytest.mark.parametrize("variant", WRITES)
def test_a_turn_that_a_conversation_does_not_have_disturbs_nobody(variant):
    """The row of the missing turn is all padding. Everything stays finite, and the other rows and their gradients are
    as without it."""
    model = small_model(memory=MemoryConfig(slots=6, variant=variant))
    first = model.initial_memory(2, torch.Generator().manual_seed(0)).requires_grad_()
    ids = torch.tensor([[11, 12, 13], [0, 0, 0]])

    def turn(memory, rows):
        mask = ids[:rows] != 0
        encoded = model.encode(ids[:rows], mask)
        written = model.write(memory, encoded, mask)
        hidden = model.decode(ids[:rows], written, mask=mask).hidden
        kept = encoded[:, :1].square().sum() + hidden[:1].square().sum() + written[:, :1].square().sum()
        return written, kept, torch.autograd.grad(kept, [first, *model.embedding.parameters()])

    written, kept, gradients = turn(first, 2)
    assert written.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    _, alone, expected = turn(first[:, :1], 1)
    torch.testing.assert_close(kept, alone)
    for found, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)


def test_equal_slots_are_refused_as_a_start():
    with pytest.raises(ConfigError, match=r"memory.init_std = 0.0: must be positive"):
        MemoryConfig(slots=4, init_std=0.0)


def test_a_fork_of_a_conversation_goes_its_own_way():
    model = small_model().eval()
    shared = ConversationState.new(model, seed=3).written(model, [2, 5, 20, 6, 21, 3])
    before = shared.memory.clone()
    one, other = shared.written(model, [2, 5, 30, 6, 31, 3]), shared.written(model, [2, 5, 40, 6, 41, 3])
    assert torch.equal(shared.memory, before) and (shared.turns, one.turns, other.turns) == (1, 2, 2)
    assert not torch.equal(one.memory, other.memory)
    assert torch.equal(one.memory, shared.written(model, [2, 5, 30, 6, 31, 3]).memory)


def test_conversation_state_saves_and_loads_bit_for_bit(tmp_path):
    model = small_model().eval()
    state = ConversationState.new(model, seed=3).written(model, [2, 5, 20, 6, 21, 3])
    state.save(tmp_path / "state.safetensors", model)
    loaded = ConversationState.load(tmp_path / "state.safetensors", model)
    assert loaded.turns == 1 and torch.equal(loaded.memory, state.memory)
    other = small_model(memory=MemoryConfig(slots=7, variant="competitive"))
    with pytest.raises(ValueError, match=r"state.safetensors: memory.shape = \(2, 1, 6, 32\): must be \(2, 1, 7, 32\)"):
        ConversationState.load(tmp_path / "state.safetensors", other)


def test_the_memory_of_another_model_of_the_same_shape_is_refused(tmp_path):
    """A model that differs in one bit of one weight is another model; a copy of all weights is the same."""
    model, path = small_model().eval(), tmp_path / "state.safetensors"
    state = ConversationState.new(model).written(model, [2, 5, 20, 6, 21, 3])
    state.save(path, model)
    same = small_model(seed=1).eval()
    same.load_state_dict(model.state_dict())
    assert torch.equal(ConversationState.load(path, same).memory, state.memory)
    bits = same.decoder.head.bias.data.view(torch.int32)
    bits[0] ^= 1
    with pytest.raises(ValueError, match="state.safetensors: is the memory of another model: its weights had sha256"):
        ConversationState.load(path, same)
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="memory of another model: its weights had no digest"):
        ConversationState.load(path, model)


def test_a_file_of_something_else_is_told_by_a_few_names(tmp_path):
    save_file({f"layer.{i:02d}": torch.zeros(1) for i in range(40)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError) as caught:
        ConversationState.load(tmp_path / "model.safetensors", small_model())
    assert str(caught.value) == (
        f"{tmp_path}/model.safetensors: holds 40 tensors (layer.00, layer.01, layer.02, …), "
        "but a saved conversation holds memory and turns"
    )
