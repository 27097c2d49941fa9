"""What older interactions lose to newer ones."""

import math

import torch

from rxt_model.copying.superseding import Superseding


def test_an_interaction_loses_to_the_best_that_is_newer_and_seen():
    draw = torch.Generator().manual_seed(0)
    covered = torch.rand(2, 3, 5, generator=draw, dtype=torch.float64) * 2 - 1
    seen = torch.tensor([[[1, 1, 0, 1, 1]], [[1, 1, 1, 1, 0]]]).bool()
    part = Superseding().double()
    found = part(covered, seen)
    weight, slope, shift = (value.item() for value in part.parameters())
    for row in range(2):
        for token in range(3):
            for n in range(5):
                newer = [covered[row, token, m].item() for m in range(n + 1, 5) if seen[row, 0, m]]
                lead = max(newer, default=-math.inf) - covered[row, token, n].item()
                expected = weight / (1 + math.exp(-slope * lead - shift)) if newer else 0.0
                assert math.isclose(found[row, token, n].item(), expected, rel_tol=1e-9)


def test_what_is_lost_has_the_gradient_of_the_formula_and_none_where_nothing_is_newer():
    part, seen = Superseding().double(), torch.tensor([[[True, True, False, True]]])
    covered = torch.tensor([[[0.2, 0.1, 0.4, 0.15]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: part(given, seen), covered)
    part(covered, seen)[..., 3].sum().backward()
    assert not covered.grad.any()
