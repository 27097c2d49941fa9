"""Thinking before an answer: its bounds, against single tokens of a scripted model, and what memory keeps of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jobs.training.objectives.unroll import unroll
from rxt_model.generate import Decoding, Sampling, answer, in_circles, is_thinking, stream, thinking_limit
from rxt_model.memory.thoughts import remembered
from rxt_model.state import remember
from tests.support.models import small_config, small_model

TOKENS = small_config().tokens
THINK, ANSWER, EOS, PAD = TOKENS.think, TOKENS.answer, TOKENS.eos, TOKENS.pad
QUERIES = [[2, 5, 20, 30], [2, 5, 44]]


@pytest.fixture
def scripted(monkeypatch):
    """A model whose next token is the next of a script, whatever it reads; after the script, the last one for ever."""

    def make(*script):
        model, step = small_model(length=64).eval(), Decoding.step
        places = iter(range(1000))

        def forced(decoding, ids):
            step(decoding, ids)
            token = script[min(next(places), len(script) - 1)]
            decoding.logits = torch.nn.functional.one_hot(torch.tensor([token] * len(ids)), 64).float()

        monkeypatch.setattr(Decoding, "step", forced)
        return model

    return make


def memory(model, rows=1):
    return model.initial_memory(rows, torch.Generator().manual_seed(0))


def test_thinking_that_never_ends_is_bounded_and_an_answer_follows(scripted):
    model = scripted(*range(20, 60))
    said = answer(model, memory(model), QUERIES[:1], [12], mode="thinking", thoughts=[5])
    assert said == [[THINK, 20, 21, 22, 23, 24, ANSWER, 26, 27, 28, 29, 30]]
    model = scripted(*range(20, 60))
    assert list(stream(model, memory(model), QUERIES[0], 12, mode="thinking", thoughts=5)) == said[0]
    model = scripted(*range(20, 60))
    assert answer(model, memory(model), QUERIES[:1], [12], mode="thinking") == [[THINK, *range(20, 31)]]


def test_each_row_has_its_own_bound(scripted):
    model = scripted(*range(20, 60))
    said = answer(model, memory(model, 2), QUERIES, [8, 8], mode="thinking", thoughts=[1, 3])
    assert said == [[THINK, 20, ANSWER, *range(22, 27)], [THINK, 20, 21, 22, ANSWER, *range(24, 27)]]


def test_thoughts_within_their_bound_and_fast_answers_are_left_alone(scripted):
    model = scripted(20, 21, ANSWER, 22, 23, 24, 25, EOS)
    whole = [[THINK, 20, 21, ANSWER, 22, 23, 24, 25, EOS]]
    assert answer(model, memory(model), QUERIES[:1], [20], mode="thinking", thoughts=[2]) == whole
    model = scripted(*range(20, 60))
    assert answer(model, memory(model), QUERIES[:1], [6], mode="fast", thoughts=[2]) == [[ANSWER, *range(20, 25)]]


def test_thoughts_that_end_without_an_answer_or_go_in_circles_give_way_to_one(scripted):
    model = scripted(20, EOS, 31, EOS)
    said = answer(model, memory(model), QUERIES[:1], [20], mode="thinking", thoughts=[9])
    assert said == [[THINK, 20, ANSWER, 31, EOS]]
    model = scripted(*[20] * 24, 33, EOS)
    said = answer(model, memory(model), QUERIES[:1], [50], mode="thinking", thoughts=[40])
    assert said == [[THINK, *[20] * 24, ANSWER, EOS]] and in_circles(said[0][:-2])
    model = scripted(*[20] * 24, 33, EOS)
    drawn = answer(model, memory(model), QUERIES[:1], [50], Sampling(temperature=1e-3), mode="thinking", thoughts=[40])
    assert drawn == [[THINK, *[20] * 24, 33, ANSWER, *[EOS]]]  # who draws may leave a circle


def test_when_an_answer_is_still_thinking():
    assert is_thinking([THINK, 20], TOKENS) and not is_thinking([], TOKENS)
    assert not is_thinking([THINK, 20, ANSWER], TOKENS) and not is_thinking([ANSWER, 20], TOKENS)
    assert (thinking_limit(1), thinking_limit(9), thinking_limit(84)) == (0, 6, 56)


def forgetful(**changes):
    return replace(small_config().memory, thoughts=False, **changes)


def test_thoughts_are_left_out_by_hand():
    config = small_config(memory=forgetful())
    rows = [
        [2, 5, 20, THINK, 30, 31, ANSWER, 40, EOS],
        [2, 5, 20, ANSWER, 40, EOS, PAD, PAD, PAD],
        [2, 5, 20, THINK, 30, 31, 32, 33, EOS],  # came to no answer
        [2, 5, 20, THINK, 30, TOKENS.tool_call, 41, EOS, PAD],
        [2, 5, 20, THINK, 30, 31, PAD, PAD, PAD],  # was cut off
    ]
    ids = torch.tensor(rows)
    mask = ids != PAD
    left, real = remembered(ids, mask, config)
    assert left.tolist() == [
        [2, 5, 20, ANSWER, 40, EOS, PAD, PAD, PAD],
        [2, 5, 20, ANSWER, 40, EOS, PAD, PAD, PAD],
        [2, 5, 20, EOS, *[PAD] * 5],
        [2, 5, 20, TOKENS.tool_call, 41, EOS, *[PAD] * 3],
        [2, 5, 20, *[PAD] * 6],
    ]
    assert real.sum(1).tolist() == [6, 6, 4, 6, 3] and torch.equal(real, left != PAD)
    whole, same = remembered(ids, mask, small_config())
    assert whole is ids and same is mask


@torch.no_grad()
@pytest.mark.parametrize("variant", ["competitive", "selective"])
def test_memory_takes_thoughts_or_not_as_the_model_says(variant):
    model = small_model(memory=forgetful(variant=variant)).eval()
    keeping = small_model(memory=replace(model.config.memory, thoughts=True)).eval()
    thinking, fast = [2, 5, 20, THINK, 30, 31, ANSWER, 40, EOS], [2, 5, 20, ANSWER, 40, EOS]
    start = memory(model)
    assert torch.allclose(remember(model, start, [thinking]), remember(model, start, [fast]), atol=1e-5)
    assert torch.equal(remember(model, start, [fast]), remember(keeping, start, [fast]))
    assert not torch.allclose(remember(keeping, start, [thinking]), remember(keeping, start, [fast]), atol=1e-3)
    later = [2, 5, 50, ANSWER, 51, EOS, PAD, PAD, PAD]
    told = torch.tensor([[thinking, later], [[*fast, PAD, PAD, PAD], later]])
    present, starts = torch.ones(2, 2, dtype=torch.bool), start.expand(-1, 2, -1, -1)
    with_thoughts, without = unroll(model, told, present, starts, None).memories.unbind(1)
    assert torch.allclose(with_thoughts, without, atol=1e-6)
    with_thoughts, without = unroll(keeping, told, present, starts, None).memories.unbind(1)
    assert not torch.allclose(with_thoughts[:, 1], without[:, 1], atol=1e-3)
