"""Runs against a search token by token, and answers that repeat themselves."""

import pytest
import torch

from rxt_model.copying.runs import ending, runs
from rxt_model.generate import Sampling, answer, in_circles, stream
from tests.reference.runs import longest_run
from tests.support.models import small_model


@pytest.mark.parametrize("seed", range(4))
def test_runs_are_those_that_a_search_finds(seed):
    draw = torch.Generator().manual_seed(seed)
    said, held = torch.randint(0, 2, (2, 12), generator=draw), torch.randint(0, 2, (2, 15), generator=draw)
    usable, joined = torch.rand(2, 15, generator=draw) < 0.9, torch.rand(2, 15, generator=draw) < 0.8
    joined = joined & usable & torch.nn.functional.pad(usable, (1, 0))[:, :-1]
    row, at = torch.cartesian_prod(torch.arange(2), torch.arange(12)).T
    found = runs(ending(said, row, at), row, held, usable, joined).unflatten(0, (2, 12))
    for row in range(2):
        for token in range(12):
            for source in range(15):
                parts = (part[row].tolist() for part in (said, held, usable, joined))
                assert found[row, token, source] == longest_run(*parts, token, source)


def test_a_repeated_word_is_followed_where_the_sentence_goes_on():
    """`in a box in the hall`: after `box in` the next word is `the`, though `in` stands before `a` as well."""
    held = torch.tensor([[7, 1, 2, 7, 3, 4]])
    every, joined = torch.ones_like(held, dtype=torch.bool), torch.tensor([[False] + [True] * 5])
    first, last = torch.tensor([0]), torch.tensor([4])
    found = runs(ending(torch.tensor([[9, 7, 1, 2, 7]]), first, last), first, held, every, joined)
    assert found.tolist() == [[0, 1, 0, 0, 4, 0]]


@pytest.mark.parametrize("temperature", [0.0, 1e-3])
def test_a_greedy_answer_that_goes_in_circles_ends(temperature):
    """The head says one token for ever. A drawn answer may leave a circle, so it goes on to its limit."""
    model = small_model(2, length=96).eval()
    model.decoder.head.bias.data[40] += 1e4
    memory = model.initial_memory(1, torch.Generator().manual_seed(0))
    found = answer(model, memory, [[2, 5, 20]], [40], Sampling(temperature))[0]
    streamed = list(stream(model, memory, [2, 5, 20], 40, Sampling(temperature)))
    assert found == streamed == [40] * (24 if temperature == 0 else 40)


def test_only_an_end_that_repeats_itself_three_times_or_more_goes_in_circles():
    circle, number = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16], [1, 1, 1, 2, 2, 2]
    assert in_circles([5, 6] + 3 * circle) and in_circles(4 * number)
    assert not in_circles([5, 6] + 2 * circle + circle[:-1] + [99])
    assert not in_circles(2 * circle) and not in_circles([0] * 23) and in_circles([0] * 24)
    assert not in_circles(3 * list(range(17))) and in_circles(3 * list(range(16)))
