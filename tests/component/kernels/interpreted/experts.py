"""Forward and backward kernels against an fp64 loop over tokens, under every load and with ragged sizes."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model.kernels.backward import hidden_gradient, input_gradient, weight_gradient
from rxt_model.kernels.experts import RoutedExperts
from rxt_model.kernels.forward import sum_rows, swiglu_rows
from rxt_model.kernels.plan import plan_rows
from rxt_model.kernels.products import rows_times_experts, through_descriptors, through_pointers
from rxt_model.kernels.tiles import BETA, Tile, Tiles
from tests.support.watching import WAITING, Watch

NAMES = ("x", "weights", "w_in", "w_out")
SMALL = Tiles(32, *[Tile(16, 16, 16, 4, 2)] * 5, *[Tile(16, 16, 16, 4, 2, early=1)] * 2)
# tokens, d, n, experts, top-k, tiles: remainders of every size, several tiles along each, and the production tiles
CASES = {
    "ragged": (29, 26, 20, 5, 3, SMALL),
    "even": (32, 32, 32, 4, 2, SMALL),
    "one row": (1, 17, 9, 3, 1, SMALL),
    "one hot expert": (35, 19, 34, 6, 1, SMALL),
    "empty experts": (20, 16, 24, 11, 2, SMALL),
    "production tiles": (70, 144, 192, 3, 2, BETA),
}


def problem(name: str) -> tuple[list[torch.Tensor], Tiles]:
    tokens, d, n, experts, top_k, tiles = CASES[name]
    torch.manual_seed(0)
    chosen = torch.stack([torch.randperm(experts)[:top_k] for _ in range(tokens)])
    if name == "one hot expert":
        chosen = torch.full_like(chosen, 4)
    if name == "empty experts":
        chosen = torch.tensor([[3, 9], [9, 7]])[torch.randint(0, 2, (tokens,))]
    weights = torch.rand(tokens, top_k)
    x, w_in, w_out = (
        torch.randn(tokens, d),
        torch.randn(experts, d, 2 * n) / d**0.5,
        torch.randn(experts, n, d) / n**0.5,
    )
    return [x, weights, chosen, w_in, w_out], tiles


def reference(x, weights, chosen, w_in, w_out):
    """Compute the equation in fp64, token by token."""
    x, weights, w_in, w_out = (tensor.double() for tensor in (x, weights, w_in, w_out))
    tokens = []
    for t in range(len(x)):
        y = 0
        for w, e in zip(weights[t], chosen[t].tolist(), strict=True):
            linear, gate = (x[t] @ w_in[e]).chunk(2)
            y = y + w * ((linear * F.silu(gate)) @ w_out[e])
        tokens.append(y)
    return torch.stack(tokens)


def close(a, b):
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_output_and_every_gradient_equal_a_loop_over_tokens(name):
    (x, weights, chosen, w_in, w_out), tiles = problem(name)
    ours = [tensor.clone().requires_grad_() for tensor in (x, weights, w_in, w_out)]
    theirs = [tensor.clone().requires_grad_() for tensor in (x, weights, w_in, w_out)]
    y, starts = RoutedExperts.apply(ours[0], ours[1], chosen, *ours[2:], None, tiles)
    expected = reference(theirs[0], theirs[1], chosen, *theirs[2:])
    assert close(y, expected)
    assert torch.equal(starts.diff(), chosen.flatten().bincount(minlength=len(w_in)))
    dy = torch.randn_like(x)
    y.backward(dy)
    expected.backward(dy.double())
    for what, mine, other in zip(NAMES, ours, theirs, strict=True):
        assert close(mine.grad, other.grad), what


def test_half_precision_stays_half_and_differs_by_rounding_alone():
    (x, weights, chosen, w_in, w_out), tiles = problem("even")
    ours = [t.half().requires_grad_() if t is not weights else t.requires_grad_() for t in (x, weights, w_in, w_out)]
    theirs = [tensor.detach().double().requires_grad_() for tensor in ours]
    y, _ = RoutedExperts.apply(ours[0], ours[1], chosen, *ours[2:], None, tiles)
    expected = reference(theirs[0], theirs[1], chosen, *theirs[2:])
    dy = torch.randn(x.shape).half()
    y.backward(dy)
    expected.backward(dy.double())
    assert [t.grad.dtype for t in ours] == [torch.float16, torch.float32, torch.float16, torch.float16]
    for mine, other in zip((y, *(t.grad for t in ours)), (expected, *(t.grad for t in theirs)), strict=True):
        assert (mine.double() - other).norm() < 5e-3 * other.norm()


def test_weight_gradients_are_added_to_the_main_gradients():
    (x, weights, chosen, w_in, w_out), tiles = problem("empty experts")
    theirs = [w_in.clone().requires_grad_(), w_out.clone().requires_grad_()]
    dy = torch.randn_like(x)
    reference(x, weights, chosen, *theirs).backward(dy.double())
    before = [torch.randn_like(w_in), torch.randn_like(w_out)]
    main = [tensor.clone() for tensor in before]
    ours = [w_in.clone().requires_grad_(), w_out.clone().requires_grad_()]
    RoutedExperts.apply(x, weights, chosen, *ours, lambda: tuple(main), tiles)[0].backward(dy)
    for weight, buffer, start, other in zip(ours, main, before, theirs, strict=True):
        assert weight.grad is None
        assert close(buffer - start, other.grad)


@pytest.mark.parametrize("added", [False, True], ids=["returned", "added"])
@pytest.mark.parametrize("wanted", [("x", "weights"), ("w_in",), ("w_out",), ("x", "w_out"), ("weights", "w_in")])
def test_gradients_that_nobody_asks_for_are_not_computed(wanted, added):
    """Either the experts or the layers before them are frozen. With main gradients, those of frozen experts do not
    change."""
    (x, weights, chosen, w_in, w_out), tiles = problem("empty experts")
    values = dict(zip(NAMES, (x, weights, w_in, w_out), strict=True))
    theirs = {name: value.clone().requires_grad_() for name, value in values.items()}
    dy = torch.randn_like(x)
    reference(**theirs, chosen=chosen).backward(dy.double())
    ours = {name: value.clone().requires_grad_(name in wanted) for name, value in values.items()}
    main = {name: torch.ones_like(values[name]) for name in ("w_in", "w_out")}
    main_gradients = (lambda: tuple(main.values())) if added else None
    y, _ = RoutedExperts.apply(ours["x"], ours["weights"], chosen, ours["w_in"], ours["w_out"], main_gradients, tiles)
    with Watch() as watch:
        y.backward(dy)
    rows = (chosen.numel(), x.shape[1])  # of the gradient of x, before they are summed
    made = {"x": rows, "w_in": w_in.shape, "w_out": w_out.shape}
    for name, value in ours.items():
        gradient = value.grad
        if added and name in main:
            assert gradient is None
            gradient = main[name] - 1 if name in wanted else None
            assert name in wanted or (main[name] == 1).all()
        assert (gradient is None) == (name not in wanted), name
        assert gradient is None or close(gradient, theirs[name].grad), name
        if name in made and not (added and name in main):
            assert (tuple(made[name]) in watch.shapes) == (name in wanted), name


def test_each_kernel_equals_its_own_reference():
    """Intermediate results of the chain are compared, in rows sorted by expert."""
    (x, weights, chosen, w_in, w_out), tiles = problem("ragged")
    top_k, width = weights.shape[1], w_out.shape[1]
    plan = plan_rows(chosen, len(w_in), tiles.height)
    order = plan.order.long()
    tokens, expert, weight = order // top_k, chosen.flatten()[order], weights.flatten()[order]

    made, hidden = swiglu_rows(x, plan, w_in, top_k, tiles)
    h = torch.einsum("rd,rdc->rc", x[tokens], w_in[expert])
    assert close(hidden, h)
    h.requires_grad_()
    active = h[:, :width] * F.silu(h[:, width:])
    assert close(made, active)
    rows = torch.einsum("rn,rnd->rd", active, w_out[expert]).detach()
    assert close(rows_times_experts(active.detach(), plan, w_out, False, tiles.height, tiles.down), rows)
    by_assignment = rows[plan.inverse.long()].unflatten(0, weights.shape)
    assert close(sum_rows(rows, plan, weights), (by_assignment * weights[..., None]).sum(1))
    assert close(sum_rows(rows, plan, weights, weighted=False), by_assignment.sum(1))

    dy = torch.randn_like(x)
    d_hidden, scaled, d_weights = hidden_gradient(dy, hidden, weights, plan, w_out, tiles)
    d_active = torch.einsum("rd,rnd->rn", dy[tokens], w_out[expert])
    active.backward(d_active * weight[:, None])
    assert close(d_hidden, h.grad)
    assert close(scaled, active * weight[:, None])
    assert close(d_weights.flatten()[order], (d_active * active).sum(1))
    dx = torch.zeros_like(x).index_add(0, tokens, torch.einsum("rc,rdc->rd", h.grad, w_in[expert]))
    assert close(input_gradient(d_hidden, weights, plan, w_in, tiles), dx)
    one_hot = F.one_hot(expert, len(w_in)).float()
    for by_token, by_row, transposed, like in ((x, h.grad, False, w_in), (dy, scaled, True, w_out)):
        made = torch.empty_like(like)
        weight_gradient(by_token, by_row, plan, top_k, transposed, tiles.d_weight, made, False)
        expected = torch.einsum("re,rd,rc->edc", one_hot, by_token[tokens], by_row)
        assert close(made, expected.mT if transposed else expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_blocks_loaded_by_descriptors_give_the_same_rows(transposed):
    torch.manual_seed(0)
    plan = plan_rows(torch.randint(0, 5, (100, 2)), 6, 32)  # one or two tiles of rows for each expert but the last
    rows, w = torch.randn(200, 20), torch.randn(6, 28, 20)
    call = plan, w if transposed else w.mT.contiguous(), transposed, 32, Tile(16, 16, 16, 4, 2)
    assert close(through_descriptors(rows, *call), through_pointers(rows, *call))


def test_nothing_is_read_back_by_the_host():
    (x, weights, chosen, w_in, w_out), tiles = problem("empty experts")
    ours = [tensor.requires_grad_() for tensor in (x, weights, w_in, w_out)]
    with Watch() as watch:
        y, _ = RoutedExperts.apply(ours[0], ours[1], chosen, *ours[2:], None, tiles)
        y.backward(torch.ones_like(y))
    assert watch.names and not WAITING & set(watch.names)
    for weight in (w_in, w_out):  # one gradient for all experts
        assert watch.shapes.count(tuple(weight.shape)) == 1


@pytest.mark.parametrize("name", ["ragged", "one hot expert", "empty experts"])
def test_only_rows_of_an_expert_that_were_written_are_summed(name):
    """One token is NaN, and so is memory before it is written. A sum that multiplied them by zero would still be
    NaN."""
    (x, weights, chosen, w_in, w_out), tiles = problem(name)
    x[0] = torch.nan  # the one that a load beyond the last row would take
    spoiled = torch.zeros(len(w_in), dtype=torch.bool).index_fill(0, chosen[0], True)
    ours = [tensor.requires_grad_() for tensor in (x, weights, w_in, w_out)]
    torch.use_deterministic_algorithms(True)  # fills what is made without values with nan
    try:
        assert torch.empty(1).isnan()
        y, _ = RoutedExperts.apply(ours[0], ours[1], chosen, *ours[2:], None, tiles)
        y.backward(torch.ones_like(y))
    finally:
        torch.use_deterministic_algorithms(False)
    lone = torch.arange(len(x)) == 0
    for tensor in (y, x.grad, weights.grad):
        assert torch.equal(tensor.isnan().any(1), lone)
    for weight in (w_in, w_out):
        assert torch.equal(weight.grad.flatten(1).isnan().any(1), spoiled)
