"""The mixture of experts equals a loop over tokens, under every load; and its balance loss."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model.config import MoEConfig
from rxt_model.moe.layer import MoELayer, Routing, balance_loss, router_z_loss


def layer(top_k: int = 2, experts: int = 4, shared: int = 2) -> MoELayer:
    torch.manual_seed(0)
    made = MoELayer(8, MoEConfig(experts, top_k, 6, shared, 5 if shared else 0))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def reference(made: MoELayer, x: torch.Tensor) -> torch.Tensor:
    """Compute the equation in fp64, token by token."""

    def swiglu(row, w_in, w_out):
        linear, gate = (row @ w_in).chunk(2)
        return (linear * F.silu(gate)) @ w_out

    made, rows = made.double(), []
    for row in x.double():
        p = (made.router.weight @ row).softmax(0)
        chosen = p.argsort(descending=True)[: made.top_k]
        w_in, w_out = made.experts.w_in, made.experts.w_out
        y = sum(p[e] / p[chosen].sum() * swiglu(row, w_in[e], w_out[e]) for e in chosen) + made.bias
        shared = made.shared
        if shared is not None:
            weights = (shared.gate.weight @ row).softmax(0) if shared.gate is not None else torch.ones(1)
            y = y + shared.bias
            for weight, expert in zip(weights, shared.experts, strict=True):
                y = y + weight * swiglu(row, expert.up.weight.T, expert.down.weight.T)
        rows.append(y)
    return torch.stack(rows)


@pytest.mark.parametrize(("top_k", "experts", "shared"), [(2, 4, 2), (1, 4, 1), (4, 4, 0), (1, 1, 0)])
def test_layer_equals_a_loop_over_tokens_forward_and_backward(top_k, experts, shared):
    made, x = layer(top_k, experts, shared), torch.randn(13, 8)
    y, routing = made(x)
    y.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
    made.zero_grad()
    expected = reference(made, x)
    expected.square().sum().backward()
    assert torch.allclose(y.double(), expected, atol=1e-5)
    for name, parameter in made.named_parameters():
        assert torch.allclose(gradients[name].double(), parameter.grad, rtol=1e-3, atol=1e-3), name
    assert routing.assignments.sum() == 13 * top_k and routing.tokens == 13


@pytest.mark.parametrize("top_k", [2, 4])
@pytest.mark.parametrize("tokens", [0, 1])
def test_none_or_one_token_is_learned_from(tokens, top_k):
    made, x = layer(top_k), torch.randn(tokens, 8, requires_grad=True)
    y, routing = made(x)
    assert y.shape == (tokens, 8) and routing.assignments.sum() == top_k * tokens
    (y.sum() + balance_loss([routing]) + router_z_loss([routing])).backward()
    assert x.grad.shape == x.shape
    for name, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert bool(parameter.grad.any()) == (tokens > 0), name


def test_collapsed_routing_equals_the_reference():
    made = layer()
    with torch.no_grad():
        made.router.weight.zero_()
        made.router.weight[1], made.router.weight[3] = 5.0, 4.0
    x = torch.rand(9, 8) + 0.1
    y, routing = made(x)
    assert routing.assignments.tolist() == [0, 9, 0, 9]
    assert torch.allclose(y.double(), reference(made, x), atol=1e-5)


def test_balance_loss_rises_from_one_to_experts_over_top_k():
    experts, top_k = 8, 2
    tokens, none = torch.tensor(100.0), torch.tensor(0.0)
    balanced = Routing(tokens * top_k * torch.full((8,), 1 / 8), torch.full((8,), 1 / 8) * tokens, tokens, none)
    one_hot = torch.tensor([1.0, 1.0] + [0.0] * 6)
    collapsed = Routing(one_hot * tokens, one_hot * tokens / 2, tokens, none)
    assert balance_loss([balanced]).item() == pytest.approx(1.0)
    assert balance_loss([collapsed]).item() == pytest.approx(experts / top_k)
    assert balance_loss([balanced, collapsed]).item() == pytest.approx((1 + experts / top_k) / 2)
