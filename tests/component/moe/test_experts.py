"""Routed experts against a dense masked product over all experts in fp64: values, every gradient, every load."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model.moe import experts
from rxt_model.moe.experts import routed_experts
from tests.support.watching import Watch

NAMES = ("x", "weights", "w_in", "w_out", "b_in", "b_out")


def inputs(tokens=13, dim=6, experts=5, top_k=2, width=3, dtype=torch.float64, seed=0):
    """Make {name: tensor that wants a gradient}, and chosen experts, distinct within a row."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(tokens, dim), (tokens, top_k), (experts, dim, 2 * width), (experts, width, dim), (experts, 2 * width),
              (experts, dim)]  # fmt: skip
    values = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for name, shape in zip(NAMES, shapes, strict=True)
    }
    chosen = torch.rand(tokens, experts, generator=generator).argsort(1)[:, :top_k]
    return values, chosen


def dense(x, weights, chosen, w_in, w_out, b_in=None, b_out=None):
    """Run every expert on every token, masked by the routing: y_n = sum_e share[n, e] (SwiGLU_e(x_n) + b_out_e)."""
    share = (F.one_hot(chosen, w_in.shape[0]) * weights[..., None]).sum(1)
    hidden = torch.einsum("nd,edf->nef", x, w_in)
    if b_in is not None:
        hidden = hidden + b_in
    linear, gate = hidden.chunk(2, -1)
    out = torch.einsum("nef,efd->ned", linear * gate * torch.sigmoid(gate), w_out)
    if b_out is not None:
        out = out + b_out
    return torch.einsum("ne,ned->nd", share, out)


def gradients(function, values, chosen):
    y = function(**values, chosen=chosen)
    y = y[0] if isinstance(y, tuple) else y
    seed = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return y, dict(zip(values, torch.autograd.grad(y, list(values.values()), seed), strict=True))


def same(values, chosen, **tolerance):
    """Check that routed_experts, in the dtype of `values`, and the reference in fp64 agree in the value and all
    gradients."""
    y, found = gradients(routed_experts, values, chosen)
    exact = {name: value.detach().double().requires_grad_() for name, value in values.items()}
    expected_y, expected = gradients(dense, exact, chosen)
    assert y.dtype == values["x"].dtype
    torch.testing.assert_close(y.double(), expected_y, **tolerance)
    for name, gradient in found.items():
        assert gradient.dtype == values[name].dtype
        torch.testing.assert_close(gradient.double(), expected[name], **tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(params=[1, 7, 512])
def group_rows(request, monkeypatch):
    monkeypatch.setattr(experts, "GROUP_ROWS", request.param)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("tokens", "count", "top_k"), [(13, 5, 2), (1, 5, 2), (4, 3, 3), (3, 1, 1), (2, 40, 3)])
def test_values_and_gradients_equal_the_dense_reference(group_rows, biases, tokens, count, top_k):
    values, chosen = inputs(tokens, experts=count, top_k=top_k)
    if not biases:
        del values["b_in"], values["b_out"]
    same(values, chosen, rtol=1e-10, atol=1e-10)


def test_one_hot_expert_leaves_zero_gradients_to_the_idle_ones():
    values, _ = inputs(top_k=1)
    chosen = torch.full((13, 1), 3)
    same(values, chosen, rtol=1e-10, atol=1e-10)
    _, found = gradients(routed_experts, values, chosen)
    for name in ("w_in", "w_out", "b_in", "b_out"):
        assert not found[name][[0, 1, 2, 4]].any() and found[name][3].any()
    assert routed_experts(**values, chosen=chosen)[1].tolist() == [0, 0, 0, 13, 0]


def test_without_tokens_all_gradients_are_zero():
    values, chosen = inputs(tokens=0)
    y, found = gradients(routed_experts, values, chosen)
    assert y.shape == (0, 6) and not found["w_in"].any() and not found["w_out"].any()


def test_gradients_pass_gradcheck_in_fp64():
    values, chosen = inputs(tokens=5, top_k=3)
    order = ("x", "weights", "w_in", "w_out", "b_in", "b_out")

    def y(*given):
        return routed_experts(**dict(zip(order, given, strict=True)), chosen=chosen)[0]

    assert torch.autograd.gradcheck(y, [values[name] for name in order])


@pytest.mark.parametrize("wanted", [("x",), ("weights",), ("w_in",), ("w_out", "b_in")])
def test_frozen_inputs_get_no_gradient_and_change_nothing(wanted):
    values, chosen = inputs()
    _, expected = gradients(dense, values, chosen)
    for name, value in values.items():
        value.requires_grad_(name in wanted)
    y, _ = routed_experts(**values, chosen=chosen)
    y.backward(torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y))
    for name, value in values.items():
        assert (value.grad is None) == (name not in wanted)
        if value.grad is not None:
            torch.testing.assert_close(value.grad, expected[name])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
def test_narrow_types_are_close_to_fp64(dtype, tolerance):
    values, chosen = inputs(tokens=64, dim=16, experts=8, width=16, dtype=dtype)
    values["weights"] = values["weights"].detach().float().requires_grad_()  # the router's, always fp32
    y, found = gradients(routed_experts, values, chosen)
    exact = {name: value.detach().double().requires_grad_() for name, value in values.items()}
    expected_y, expected = gradients(dense, exact, chosen)
    for name, left, right in [("y", y, expected_y), *((n, found[n], expected[n]) for n in found)]:
        assert (left.double() - right).norm() < tolerance * right.norm(), name


def test_autocast_computes_in_its_type_and_returns_full_gradients():
    values, chosen = inputs(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, counts = routed_experts(**values, chosen=chosen)
    y.float().sum().backward()
    assert counts.sum() == 26
    assert all(value.grad.dtype == torch.float32 for value in values.values())
    given = {name: value.detach() for name, value in values.items() if name != "b_out"}
    halved = given | {name: given[name].bfloat16() for name in ("x", "w_in", "w_out")}
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = routed_experts(**given, chosen=chosen)
    assert torch.equal(y, routed_experts(**halved, chosen=chosen)[0])


def test_bits_repeat():
    values, chosen = inputs(tokens=300, dim=32, experts=24, top_k=5, width=16, dtype=torch.float32)
    first, second = gradients(routed_experts, values, chosen), gradients(routed_experts, values, chosen)
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in NAMES)


def test_a_token_does_not_depend_on_the_order_of_the_others():
    values, chosen = inputs(tokens=20, top_k=2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    y, counts = routed_experts(**values, chosen=chosen)
    moved = values | {"x": values["x"][order], "weights": values["weights"][order]}
    y_moved, counts_moved = routed_experts(**moved, chosen=chosen[order])
    torch.testing.assert_close(y_moved, y[order])
    assert torch.equal(counts, counts_moved)


def test_only_input_pre_activation_and_indices_are_saved():
    values, chosen = inputs(tokens=50, dim=16, experts=4, top_k=2, width=8, dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        routed_experts(**{n: v for n, v in values.items() if n != "b_out"}, chosen=chosen)
    parameters = {values[name].data_ptr() for name in ("w_in", "w_out", "b_in")}
    kept = [t.numel() for t in saved if t.data_ptr() not in parameters and t.is_floating_point()]
    assert sorted(kept) == [50 * 2, 50 * 16, 50 * 2 * 16]  # weights, x, hidden


def a_pass(experts, hot=None, tokens=64):
    """Return what forward and backward do with random routing, or, if `hot`, with routing in which `hot` experts take
    everything; and y."""
    values, chosen = inputs(tokens, dim=32, experts=experts, top_k=4, width=12, dtype=torch.float32)
    del values["b_in"], values["b_out"]
    if hot is not None:
        chosen = torch.arange(hot).expand(tokens, hot).contiguous()
    with Watch() as watch:
        y, _ = routed_experts(**values, chosen=chosen)
        y.backward(torch.ones_like(y))
    return watch, y, values


def test_collapsed_routing_takes_no_more_memory_than_balanced():
    """And neither takes much beside the gradients of the weights. A batch padded to the hottest expert would take much
    more."""
    balanced, collapsed = (a_pass(64, hot, tokens=256)[0].peak for hot in (None, 4))
    assert collapsed <= 1.1 * balanced
    rows, expert_weights = 256 * 4 * 4, 64 * 32 * 12 * 3 * 4  # bytes of one column of all rows; of all experts
    assert collapsed < expert_weights + rows * (4 * 32 + 8 * 12)


def test_the_stacked_weights_are_one_node_with_one_gradient():
    """If they were indexed expert by expert, every expert would have a node, and each node a gradient for all
    experts."""
    few, many = (a_pass(experts) for experts in (8, 64))
    assert nodes_behind(few[1]) == nodes_behind(many[1])
    watch, _, values = many
    for name in ("w_in", "w_out"):
        assert [shape for shape in watch.shapes if shape == values[name].shape] == [values[name].shape]


def nodes_behind(tensor):
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)


def test_a_token_that_is_not_a_number_spoils_no_other_and_no_other_expert():
    """Rows meet only those of their expert. A sum over all rows that multiplied some by zero would still be NaN."""
    values, _ = inputs(tokens=12, experts=6, top_k=2)
    chosen = torch.tensor([[0, 2], [2, 3], [5, 0]]).repeat(4, 1)
    with torch.no_grad():
        values["x"][1] = torch.nan  # goes to experts 2 and 3; nothing goes to 1 and 4
    y, found = gradients(routed_experts, values, chosen)
    assert y.isnan().any(1).tolist() == found["x"].isnan().any(1).tolist() == [row == 1 for row in range(12)]
    for name in ("w_in", "w_out", "b_in"):
        assert found[name].flatten(1).isnan().any(1).tolist() == [False, False, True, True, False, False], name


@pytest.fixture
def poisoned_memory():
    """Fill tensors that are made without values with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("hot", [None, 3])
def test_what_was_never_written_is_never_read(hot):
    values, chosen = inputs(tokens=20, experts=9, top_k=3)
    if hot is not None:
        chosen = torch.arange(hot).expand(20, hot)
    assert torch.empty(3).isnan().all()
    same(values, chosen, rtol=1e-10, atol=1e-10)
