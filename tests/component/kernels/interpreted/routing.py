"""Selection and sorting against torch."""

import pytest
import torch

from rxt_model.kernels.plan import plan_rows, prefix_kernel
from rxt_model.kernels.topk import select_experts


@pytest.mark.parametrize(("tokens", "experts", "top_k"), [(1, 1, 1), (1, 7, 3), (9, 6, 6), (13, 33, 5), (6, 384, 10)])
def test_selection_and_its_gradient_equal_torch(tokens, experts, top_k):
    torch.manual_seed(0)
    logits = 3 * torch.randn(tokens, experts)
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    made = select_experts(ours, top_k)
    p = theirs.softmax(-1)
    top, chosen = p.topk(top_k, -1)
    expected = (top / top.sum(-1, keepdim=True), p.sum(0), theirs.logsumexp(-1))
    assert torch.equal(made.chosen.long(), chosen)
    got = (made.weights, made.mass, made.log_total)
    factors = [torch.randn_like(g) for g in got]
    sum((g * f).sum() for g, f in zip(got, factors, strict=True)).backward()
    sum((g * f).sum() for g, f in zip(expected, factors, strict=True)).backward()
    for g, e in zip((*got, ours.grad), (*expected, theirs.grad), strict=True):
        assert torch.allclose(g.double(), e, rtol=1e-5, atol=1e-5)


def test_equal_logits_go_to_the_lower_index_and_nan_names_an_expert_that_exists():
    assert select_experts(torch.zeros(3, 5), 3).chosen.tolist() == [[0, 1, 2]] * 3
    assert select_experts(torch.tensor([[-0.0, 0.0, -0.0]]), 2).chosen.tolist() == [[0, 1]]
    assert select_experts(torch.tensor([[-1.0, float("-inf"), -2.0]]), 3).chosen.tolist() == [[0, 2, 1]]
    chosen = select_experts(torch.full((2, 5), float("nan")), 3).chosen
    assert chosen.min() >= 0 and chosen.max() < 5


def test_a_bias_counts_for_which_experts_are_chosen_and_not_for_their_weights():
    torch.manual_seed(0)
    logits, bias = torch.randn(9, 21), torch.linspace(-2, 2, 21)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    made = select_experts(ours, 4, bias)
    chosen = (logits + bias).topk(4, -1).indices
    weights = theirs.gather(1, chosen).softmax(-1)
    factors = torch.randn(9, 4)
    (made.weights * factors).sum().backward()
    (weights * factors).sum().backward()
    assert torch.equal(made.chosen.long(), chosen)
    assert torch.allclose(made.weights, weights) and torch.allclose(made.mass, logits.softmax(-1).sum(0))
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def routes() -> dict[str, tuple[torch.Tensor, int]]:
    torch.manual_seed(0)
    return {
        "random": (torch.stack([torch.randperm(37)[:3] for _ in range(211)]), 37),
        "several blocks": (torch.randint(0, 5, (1100, 2)), 5),
        "one hot expert": (torch.full((90, 1), 4), 6),
        "empty experts": (torch.randint(2, 4, (50, 2)).int(), 9),
        "one row": (torch.tensor([[2]]), 3),
        "full tiles": (torch.arange(64)[:, None] % 2, 2),
    }


@pytest.mark.parametrize("name", routes())
def test_rows_are_sorted_by_expert_and_tiles_cover_them_once(name):
    chosen, experts = routes()[name]
    tile, flat = 16, chosen.flatten().long()
    plan = plan_rows(chosen, experts, tile)
    order = flat.argsort(stable=True)
    assert torch.equal(plan.order.long(), order)
    assert torch.equal(plan.inverse.long()[order], torch.arange(flat.numel()))
    counts = flat.bincount(minlength=experts)
    assert plan.starts.tolist() == [0, *counts.cumsum(0).tolist()]
    tiles = [(e, int(plan.starts[e]) + r) for e in range(experts) for r in range(0, int(counts[e]), tile)]
    used = len(tiles)
    assert used <= plan.tile_expert.numel() == flat.numel() // tile + min(experts, flat.numel())
    assert list(zip(plan.tile_expert[:used].tolist(), plan.tile_row[:used].tolist(), strict=True)) == tiles
    assert torch.equal(plan.tile_end[:used], plan.starts[1:][plan.tile_expert[:used].long()])
    assert (plan.tile_expert[used:] == -1).all() and (plan.tile_end[used:] <= plan.tile_row[used:]).all()


def test_the_prefix_sum_goes_on_from_one_step_to_the_next():
    torch.manual_seed(0)
    counts = torch.randint(0, 9, (11, 32)).int()
    before, totals = counts.clone(), torch.empty(32, dtype=torch.int32)
    prefix_kernel[(2,)](before, totals, 11, 32, 4, 16)
    assert torch.equal(before, counts.cumsum(0).int() - counts)
    assert torch.equal(totals, counts.sum(0).int())
