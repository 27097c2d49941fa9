"""Fragments: what is kept, what is loaded for a query, and that the slots hold what they would hold of it alone."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from rxt_model import generate
from rxt_model.config import ConfigError, FragmentsConfig, MemoryConfig, ModelConfig
from rxt_model.memory.fragments import HELD, Fragments
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState, OtherKindError, remember
from tests.reference.compare import shaken
from tests.support.models import small_config, small_model

SLOTS, SIZE = 24, 6
BEGIN, QUERY, ANSWER, END = 2, 5, 6, 3


def memory(size=SIZE, loaded=2, recent=1, slots=SLOTS, ageing=0.0):
    return MemoryConfig(slots, "selective", fragments=FragmentsConfig(size, loaded, recent), ageing=ageing)


def model_with(**settings) -> ReactiveTransformer:
    model = shaken(small_model(memory=memory(**settings), copying=True)).eval()
    letters = torch.randint(1, 5, (64, 6), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    letters[:, 0] = torch.arange(64) % 3 > 0  # most tokens begin a word
    model.spell(letters)
    return model


@pytest.fixture(scope="module")
def model() -> ReactiveTransformer:
    return model_with()


def interaction(number: int, words: int = 4) -> list[int]:
    """A turn of its own words, with an answer of one."""
    drawn = torch.randint(11, 60, (words + 1,), generator=torch.Generator().manual_seed(number)).tolist()
    return [BEGIN, QUERY, *drawn[:-1], ANSWER, drawn[-1], END]


def told(model: ReactiveTransformer, count: int, words: int = 4) -> ConversationState:
    state = ConversationState.new(model)
    for number in range(count):
        state = state.written(model, interaction(number, words))
    return state


def plain(model: ReactiveTransformer, numbers, words: int = 4) -> torch.Tensor:
    """The slots after these interactions alone, written turn by turn."""
    slots = ConversationState.new(model).memory
    for number in numbers:
        slots = remember(model, slots, [interaction(number, words)])
    return slots


@torch.no_grad()
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_conversation_of_no_more_interactions_than_are_loaded_has_plain_memory_to_the_bit(turns):
    model = model_with(size=16)
    assert torch.equal(told(model, turns).read(model, [BEGIN, QUERY, 12]), plain(model, range(turns)))


@torch.no_grad()
@pytest.mark.parametrize(("slots", "ageing"), [(10, 0.0), (10, 1.0), (SLOTS, 0.0)])
def test_the_slots_hold_what_they_would_hold_if_only_the_chosen_interactions_had_been_told(slots, ageing):
    """With ages: the newest is 0 old, and the one before it 1, however long ago it was told."""
    model = model_with(size=16, slots=slots, ageing=ageing)
    state, query = told(model, 9), [BEGIN, QUERY, *interaction(2)[2:6]]
    assert state.fragments is not None
    chosen = state.fragments.chosen(model, query)
    assert 2 in chosen and 8 in chosen and chosen != [6, 7, 8]
    found = state.read(model, query)
    assert torch.equal(found, plain(model, chosen))
    written = found[-1, 0, found[-1, 0].square().mean(-1).sqrt() >= 0.1]
    assert written[:, -1].unique().tolist() == [0.0, 1.0, 2.0] and written[:, -1].diff().max() <= 0


@torch.no_grad()
def test_a_fragment_has_the_most_important_tokens_of_its_interaction_and_nothing_else(model):
    state = told(model, 3, words=12)
    assert state.fragments is not None
    ids = torch.tensor([interaction(1, 12)])
    encoded = model.encode(ids, ids > 0)[:, 0]
    for layer, (states, write) in enumerate(zip(encoded, model.memory_attention.layers, strict=True)):
        best = sorted(write.importance(states).argsort(descending=True)[:SIZE].tolist())
        assert torch.equal(state.fragments.states.tensor[1, layer], states[best])
    short = ConversationState.new(model).written(model, [BEGIN, QUERY, 12, END]).fragments
    assert short is not None
    kept = short.states.tensor[0]
    assert not kept[:, :2].any() and (kept[:, 2:].square().mean(-1).sqrt() > 0.1).all()


@torch.no_grad()
def test_scores_are_those_of_the_equation(model):
    """Word by word, in fp64, from the ids."""
    model = deepcopy(model).double()
    state, query = told(model, 7), [BEGIN, QUERY, *interaction(3)[2:4], 13, 40]
    assert state.fragments is not None
    table, matching = model.mark_table.weight, model.decoder.matching
    s, t = model.config.signature_dim, model.config.term_dim
    stems = model.query_words(torch.tensor([query])).stem[0]
    asked = [(table[token, s:], stem) for token, stem in zip(query, stems, strict=True) if token > 10]
    weights = [row[:t].norm().item() * math.exp(row[t + 1].item()) for row, _ in asked]
    covered = []
    for number in range(7):
        fragment = state.fragments.states.tensor[number, -1]
        words = [one for one in fragment[:, model.config.dim + 2 * s :] if one[5 : 5 + t].any()]
        row = []
        for term, stem in asked:
            best = 0.0
            for word in words:
                cosine = (term[:t] @ word[5 : 5 + t] / term[:t].norm() / word[5 : 5 + t].norm()).item()
                equal = [k for k in (3, 4, 5) if stem.any() and stem[:k].equal(word[:k])]
                least = [matching.stem_cosines[equal[-1] - 3].item()] if equal else []
                best = max(best, cosine, *least)
            row.append(best)
        covered.append(row)
    for number, row in enumerate(covered):
        score = 0.0
        for i, cosine in enumerate(row):
            holding = sum(other[i] >= HELD for other in covered)
            score += weights[i] / sum(weights) * math.log(8 / (holding + 1)) * cosine**2
        assert state.fragments.scores(model, query)[number].item() == pytest.approx(score, rel=1e-6)


class Scored(Fragments):
    """A store whose scores are given."""

    def scores(self, model, query):
        return torch.tensor([3.0, 5, 5, 1, 5, 9, 2])


def test_the_best_are_loaded_in_the_order_of_the_text_and_of_equal_ones_the_newer():
    model = model_with(loaded=3, recent=2)
    store = told(model, 7).fragments
    assert store is not None
    scored = Scored(store.states, store.terms, store.stems, store.number)
    assert scored.chosen(model, [BEGIN]) == [1, 2, 4, 5, 6]  # 5 and 6 are the newest: how good they are does not count
    one = replace(model.config, memory=memory(loaded=1, recent=0))
    model.config = one
    assert scored.chosen(model, [BEGIN]) == [5]
    model.config = replace(one, memory=memory(loaded=2, recent=2))
    assert scored.chosen(model, [BEGIN]) == [2, 4, 5, 6]
    assert scored.chosen(model) == [3, 4, 5, 6]  # no query: the newest


@torch.no_grad()
def test_forked_conversations_do_not_see_each_other(model):
    base = told(model, 5)
    left, right = base, base
    for number in range(70):  # beyond the room of a buffer
        left = left.written(model, interaction(100 + number))
        if number < 5:
            right = right.written(model, interaction(200 + number))
    again = base
    for number in range(5):
        again = again.written(model, interaction(200 + number))
    query = [BEGIN, QUERY, *interaction(102)[2:6]]
    assert len(base.fragments) == 5 and len(left.fragments) == 75 and len(right.fragments) == 10
    assert torch.equal(right.read(model, query), again.read(model, query))
    assert torch.equal(base.read(model, query), told(model, 5).read(model, query))
    for name in ("states", "terms", "stems", "number"):
        one, other = (getattr(state.fragments, name).tensor for state in (right, again))
        assert torch.equal(one, other)
    assert 7 in left.fragments.chosen(model, query) and 7 not in right.fragments.chosen(model, query)


@torch.no_grad()
def test_a_saved_conversation_goes_on_as_it_would_have(model, tmp_path):
    state, query = told(model, 6), [BEGIN, QUERY, *interaction(1)[2:6]]
    state.save(tmp_path / "long.safetensors", model)
    loaded = ConversationState.load(tmp_path / "long.safetensors", model)
    assert loaded.turns == 6 and torch.equal(loaded.read(model, query), state.read(model, query))
    one, other = (each.written(model, interaction(50)) for each in (state, loaded))
    assert torch.equal(one.read(model, query), other.read(model, query))
    assert torch.equal(one.fragments.states.tensor, other.fragments.states.tensor)


def test_a_kept_conversation_and_one_of_slots_are_not_confused(model, tmp_path):
    slots = shaken(small_model(memory=replace(memory(), fragments=None), copying=True)).eval()
    slots.load_state_dict(model.state_dict())
    told(model, 2).save(tmp_path / "long", model)
    ConversationState.new(slots).save(tmp_path / "short", slots)
    with pytest.raises(OtherKindError, match="long: was saved with its turns .* goes on with slots alone"):
        ConversationState.load(tmp_path / "long", slots)
    with pytest.raises(OtherKindError, match="short: was saved without its turns .* goes on with them"):
        ConversationState.load(tmp_path / "short", model)
    small = model_with(size=SIZE - 1)
    small.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match=r"long: fragments.shape = \(2, 2, 6, 88\): must be \(any, 2, 5, 88\)"):
        ConversationState.load(tmp_path / "long", small)
    with pytest.raises(ValueError, match="memory.fragments = None: this model keeps no fragments"):
        Fragments.of(slots)


@torch.no_grad()
def test_conversations_answer_in_a_batch_as_alone(model):
    states = [told(model, turns) for turns in (1, 4, 9)]
    queries = [[BEGIN, QUERY, *interaction(number)[2 : 4 + number]] for number in (0, 1, 2)]
    read = [state.read(model, query) for state, query in zip(states, queries, strict=True)]
    together = generate.answer(model, torch.cat(read, 1), queries, [6, 6, 6])
    alone = [generate.answer(model, one, [query], [6])[0] for one, query in zip(read, queries, strict=True)]
    assert together == alone


@torch.no_grad()
def test_what_a_turn_loads_does_not_grow(model):
    stores = [told(model, turns).fragments for turns in (3, 9, 20)]
    assert [len(store.chosen(model, [BEGIN, QUERY, 12])) for store in stores] == [3, 3, 3]  # loaded 2, recent 1


@torch.no_grad()
def test_thoughts_that_memory_leaves_out_take_no_place_in_a_fragment():
    model = model_with(size=16)
    model.config = replace(model.config, memory=replace(model.config.memory, thoughts=False))
    tokens, (*query, _, word, _) = model.config.tokens, interaction(0)
    fast = [*query, tokens.answer, word, tokens.eos]
    thinking = [*query, tokens.think, *range(20, 32), tokens.answer, word, tokens.eos]
    kept = [ConversationState.new(model).written(model, ids).fragments.states.tensor for ids in (fast, thinking)]
    assert kept[0].any(-1).sum(-1).tolist() == [[len(fast)] * 2]
    torch.testing.assert_close(*kept, rtol=1e-4, atol=1e-4)


def test_a_model_without_fragments_is_written_down_as_before():
    off = small_config(memory=replace(memory(), fragments=None), copying=True)
    on = small_config(memory=memory(), copying=True)
    assert "fragments" not in off.to_json() and ModelConfig.from_json(off.to_json()) == off
    assert '"fragments"' in on.to_json() and ModelConfig.from_json(on.to_json()) == on


def test_models_that_cannot_find_fragments_are_refused():
    with pytest.raises(ConfigError, match="memory.fragments = .*: must be null without copying"):
        small_config(memory=memory())
    reader = small_config().cross_attention
    with pytest.raises(ConfigError, match="memory.fragments = .*: must be null with encoder_memory_attention"):
        small_config(memory=memory(), copying=True, encoder_memory_attention=reader)
    with pytest.raises(ConfigError, match="memory.fragments.loaded = 0: must be positive"):
        FragmentsConfig(loaded=0)
    with pytest.raises(ConfigError, match="memory.fragments.recent = -1: must not be negative"):
        FragmentsConfig(recent=-1)
