"""Runs against a search token by token."""

import pytest
import torch

from rxt_model.layers.runs import ending, runs
from tests.reference.runs import longest_run


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
