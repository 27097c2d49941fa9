"""The selective write: what it keeps, and that writing turn by turn keeps what choosing among all turns keeps."""

import pytest
import torch

from rxt_model.config import ConfigError, MemoryConfig
from rxt_model.memory.selective import SelectiveWrite
from rxt_model.memory.statistics import memory_statistics
from tests.reference.compare import shaken
from tests.support.models import small_config, small_model

SLOTS, DIM = 5, 32
SELECTIVE = MemoryConfig(slots=SLOTS, variant="selective")


class FirstChannel(SelectiveWrite):
    """Importance is the first number of a state."""

    def importance(self, states):
        return states[..., 0]


def states(*importances):
    """One row of states of order 1, [1, n, DIM]."""
    drawn = torch.randn(1, len(importances), DIM, generator=torch.Generator().manual_seed(len(importances)))
    drawn[0, :, 0] = torch.tensor(importances, dtype=torch.float32)
    return drawn


def written(slots, tokens, mask=None):
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool) if mask is None else mask
    return FirstChannel(small_config(memory=SELECTIVE))(slots, None, tokens, mask)


def test_the_most_important_of_slots_and_tokens_stay_as_they_are():
    slots, tokens = states(9, 7, 5, 3, 1), states(4, 8, 2, 6)
    found = written(slots, tokens)
    assert found[0, :, 0].tolist() == [9, 7, 5, 8, 6]  # in the order in which they came
    assert torch.equal(found[0], torch.stack([slots[0, 0], slots[0, 1], slots[0, 2], tokens[0, 1], tokens[0, 3]]))


def test_of_equally_important_ones_those_that_came_first_stay():
    slots, tokens = states(1, 2, 1, 2, 1), states(2, 1, 2)
    expected = [slots[0, 0], slots[0, 1], slots[0, 3], tokens[0, 0], tokens[0, 2]]
    assert torch.equal(written(slots, tokens)[0], torch.stack(expected))


@pytest.mark.parametrize("start", [0.0, 0.02])
def test_slots_that_were_never_written_give_way_to_the_least_important_token(start):
    unwritten = start * states(9, 9, 9, 9, 9).clamp(-3, 3)
    found = written(unwritten, states(-50, -40))
    assert found[0, 3:, 0].tolist() == [-50, -40]
    assert torch.equal(found[0, :3], unwritten[0, :3])


def test_padding_never_enters_however_important_it_looks():
    tokens, mask = states(1, 2, 99, 99), torch.tensor([[True, True, False, False]])
    assert written(states(9, 7, 5, 3, 1), tokens, mask)[0, :, 0].tolist() == [9, 7, 5, 3, 2]
    unwritten = torch.zeros(1, SLOTS, DIM)
    assert torch.equal(written(unwritten, tokens, mask)[0, :3], unwritten[0, :3])


@torch.no_grad()
def test_writing_turn_by_turn_is_choosing_among_all_turns_at_once():
    """To the bit, while the memory fills and long after."""
    model = shaken(small_model(memory=SELECTIVE)).eval()
    memory = start = model.initial_memory(2, torch.Generator().manual_seed(0))
    turns = []
    for turn, length in enumerate([3, 1, 7, 2, 12, 5, 1]):
        ids = torch.randint(11, 64, (2, length), generator=torch.Generator().manual_seed(turn))
        mask = torch.ones_like(ids, dtype=torch.bool)
        turns.append(model.encode(ids, mask))
        memory = model.write(memory, turns[-1], mask)
        everything = torch.cat(turns, 2)
        at_once = model.write(start, everything, torch.ones(everything.shape[1:3], dtype=torch.bool))
        assert torch.equal(memory, at_once)
        filled = min(SLOTS, everything.shape[2])
        assert (memory[:, :, SLOTS - filled :].square().mean(-1).sqrt() > 0.1).all()
        assert torch.equal(memory[:, :, : SLOTS - filled], start[:, :, : SLOTS - filled])
    assert memory_statistics(memory).effective_rank.min() > 2


@torch.no_grad()
@pytest.mark.parametrize("ageing", [0.0, 4.0])
def test_in_a_full_memory_importance_falls_with_age(ageing):
    """Against a choice among all turns at once, from importance and age in fp64."""
    selective = MemoryConfig(slots=SLOTS, variant="selective", ageing=ageing)
    model = shaken(small_model(memory=selective, copying=True)).eval()
    held, turns, age = model.initial_memory(1, torch.Generator().manual_seed(0)), [], []
    for turn, length in enumerate([4, 2, 6, 3, 1, 5, 2]):
        ids = torch.randint(11, 64, (1, length), generator=torch.Generator().manual_seed(turn))
        turns.append(model.encode(ids, ids > 0))
        held = model.write(held, turns[-1], ids > 0)
        age += [6 - turn] * length
    oldest = []
    for layer, states, slots in zip(model.memory_attention.layers, torch.cat(turns, 2)[:, 0], held[:, 0], strict=True):
        worth = layer.importance(states).double() - ageing * torch.tensor(age)
        kept = worth.topk(SLOTS).indices.sort().values
        assert torch.equal(slots[:, :-1], states[kept, :-1])
        assert slots[:, -1].tolist() == [age[place] for place in kept]
        oldest.append(slots[0, -1].item())
    assert (max(oldest) < 4) == (ageing > 0)  # without ageing, tokens of the first turns stay


def test_gradients_flow_to_what_was_kept_and_not_to_the_choice():
    model = small_model(memory=SELECTIVE)
    slots, tokens = states(9, 7, 5, 3, 1).requires_grad_(), states(4, 8, 2, 6).requires_grad_()
    weight = torch.randn(1, SLOTS, DIM, generator=torch.Generator().manual_seed(1))
    (written(slots, tokens) * weight).sum().backward()
    assert torch.equal(slots.grad[0, [0, 1, 2]], weight[0, [0, 1, 2]]) and not slots.grad[0, 3:].any()
    assert torch.equal(tokens.grad[0, [1, 3]], weight[0, [3, 4]]) and not tokens.grad[0, [0, 2]].any()
    memory, ids = model.initial_memory(1), torch.tensor([[11, 12, 13]])
    model.write(memory, model.encode(ids, ids > 0), ids > 0).square().sum().backward()
    assert model.embedding.weight.grad.any()
    assert all(parameter.grad is None for parameter in model.memory_attention.parameters())


def test_a_start_that_looks_written_is_refused():
    with pytest.raises(ConfigError, match="memory.init_std = 1.0: must be below 0.05, as the selective write knows"):
        MemoryConfig(slots=4, variant="selective", init_std=1.0)
    with pytest.raises(ConfigError, match="memory.gate_init = 1.0: must be 3.0, as the selective write does not take"):
        MemoryConfig(slots=4, variant="selective", gate_init=1.0)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"trained_slots": -1}, "memory.trained_slots = -1: must not be negative"),
        ({"ageing": -0.1}, "memory.ageing = -0.1: must be finite and not negative"),
        ({"ageing": float("inf")}, "memory.ageing = inf: must be finite and not negative"),
        ({"variant": "grouped", "trained_slots": 2}, "memory.trained_slots = 2: must be 0, as the grouped"),
        ({"variant": "competitive", "ageing": 0.1}, "memory.ageing = 0.1: must be 0.0, as the competitive"),
    ],
)  # fmt: skip
def test_what_no_memory_can_do_is_refused(changed, shown):
    with pytest.raises(ConfigError, match=shown):
        MemoryConfig(**{"slots": 4, "variant": "selective"} | changed)


def test_slots_that_carry_no_age_do_not_age():
    with pytest.raises(ConfigError, match="memory.ageing = 0.1: must be 0 without copying"):
        small_config(memory=MemoryConfig(slots=4, variant="selective", ageing=0.1))


def test_a_selective_write_takes_any_number_of_slots_and_others_their_own():
    ids = torch.tensor([[11, 12, 13]])
    for memory, takes in ((SELECTIVE, True), (MemoryConfig(slots=SLOTS), False)):
        model = small_model(memory=memory)
        few = model.initial_memory(1, slots=2)
        if takes:
            assert model.write(few, model.encode(ids, ids > 0), ids > 0).shape == few.shape
        else:
            with pytest.raises(ValueError, match=r"must be \(2, 1, 5, 32\)"):
                model.write(few, model.encode(ids, ids > 0), ids > 0)
    assert [MemoryConfig(4, "selective", trained_slots=n).slots_in_training for n in (0, 3, 9)] == [4, 3, 4]
