"""The load-balancing loss of real layers: its values, and that it counts every expert layer but no padding."""

import itertools

import pytest
import torch

from rxt_model.config import MoEConfig
from rxt_model.moe.layer import MoELayer, balance_loss
from tests.support.models import small_model

EXPERTS, TOP_K = 8, 2


def balance_of(router, tokens):
    layer = MoELayer(EXPERTS, MoEConfig(EXPERTS, TOP_K, expert_dim=2))
    torch.nn.init.normal_(layer.experts.w_in)
    torch.nn.init.normal_(layer.experts.w_out)
    with torch.no_grad():
        layer.router.weight.copy_(router)
        return balance_loss([layer(tokens)[1]]).item()


def test_it_rises_from_one_to_experts_over_top_k_as_routing_collapses():
    """Token i prefers experts i and i + 1. Step by step more tokens prefer experts 0 and 1 instead."""
    tokens = torch.eye(EXPERTS).repeat(5, 1)
    own = 20 * (torch.eye(EXPERTS) + torch.eye(EXPERTS).roll(1, 0))
    losses = []
    for collapsed in range(EXPERTS + 1):
        router = own.clone()
        router[:, :collapsed] = own[:, :1]
        losses.append(balance_of(router, tokens))
    assert losses[0] == pytest.approx(1) and losses[-1] == pytest.approx(EXPERTS / TOP_K)
    assert all(more > less + 1e-3 for less, more in itertools.pairwise(losses[1:]))


def test_it_asks_the_batch_to_be_balanced_and_not_every_token():
    tokens = torch.eye(EXPERTS)
    certain = 30 * (torch.eye(EXPERTS) + torch.eye(EXPERTS).roll(1, 0))
    undecided = torch.zeros(EXPERTS, EXPERTS) + 1e-4 * certain
    assert balance_of(certain, tokens) == pytest.approx(1, abs=1e-4)
    assert balance_of(undecided, tokens) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("around", [(0, 0), (2, 2)])
def test_every_expert_layer_counts_also_stateless_ones(around):
    model = small_model(initial_layers=around[0], final_layers=around[1])
    ids = torch.randint(11, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    output = model.decode(ids, model.initial_memory(2, torch.Generator().manual_seed(0)))
    layers = [module for module in model.decoder.modules() if isinstance(module, MoELayer)]
    assert len(output.routing) == len(layers) == sum(around) + 2 - (around[0] > 0)
    balance_loss(output.routing).backward()
    assert all(layer.router.weight.grad.abs().max() > 1e-6 for layer in layers)


@pytest.mark.parametrize("around", [(1, 1), (0, 3), (0, 0)])
@torch.no_grad()
def test_the_router_of_the_last_layer_changes_the_loss(around):
    model = small_model(initial_layers=around[0], final_layers=around[1])
    last = [module for module in model.decoder.modules() if isinstance(module, MoELayer)][-1]
    before = routed(model)
    last.router.weight.neg_()
    after = routed(model)
    changed = [not same_load(*pair) for pair in zip(before, after, strict=True)]
    assert changed == [False] * (len(before) - 1) + [True]
    assert abs(balance_loss(after) - balance_loss(before)) > 1e-4


@torch.no_grad()
def test_padding_is_neither_routed_nor_counted():
    model, given = small_model(), []
    for module in model.decoder.modules():
        if isinstance(module, MoELayer):
            module.register_forward_pre_hook(lambda _, inputs: given.append(len(inputs[0])))
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    alone, padded = routed(model, mask), routed(model, torch.nn.functional.pad(mask, (0, 11)))
    assert set(given) == {13}
    for load, wide in zip(alone, padded, strict=True):
        assert load.assignments.sum() == 2 * 13 and load.tokens == wide.tokens == 13
        assert same_load(load, wide)
    assert balance_loss(padded).item() == pytest.approx(balance_loss(alone).item(), rel=1e-5)


def test_evaluation_owes_nothing_to_the_training_before_it():
    used, fresh = small_model(), small_model()
    for seed in range(2):
        balance_loss(routed(used.train(), seed=seed)).backward()
    with torch.no_grad():
        found, again, expected = routed(used.eval(), seed=9), routed(used, seed=9), routed(fresh.eval(), seed=9)
    for loads in zip(found, again, expected, strict=True):
        for load in loads[:2]:
            assert all(torch.equal(a, b) for a, b in zip(load, loads[2], strict=True))


def test_gates_of_shared_experts_may_specialise_at_no_cost():
    """Every token goes to one of the two shared experts, or evenly to both. The loss must be the same, since it does
    not count them."""
    torch.manual_seed(0)
    layer = MoELayer(EXPERTS, MoEConfig(EXPERTS, TOP_K, expert_dim=2, shared_experts=2, shared_dim=2))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    tokens, outputs, losses = torch.eye(EXPERTS), [], []
    for weight in (torch.zeros(2, EXPERTS), 40 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(1, EXPERTS // 2)):
        layer.shared.gate.weight = torch.nn.Parameter(weight)
        output, load = layer(tokens)
        outputs.append(output)
        losses.append(balance_loss([load]))
    losses[1].backward()
    assert torch.equal(*losses) and not torch.allclose(*outputs, atol=1e-2)
    assert layer.router.weight.grad.any() and layer.shared.gate.weight.grad is None


def routed(model, mask=None, seed=1):
    """Return the loads of a pass over ids [2, T]. Those of real tokens do not depend on T."""
    length = 9 if mask is None else mask.shape[1]
    ids = torch.randint(11, 64, (40, 2), generator=torch.Generator().manual_seed(seed))[:length].T
    return model.decode(ids, model.initial_memory(2, torch.Generator().manual_seed(0)), mask=mask).routing


def same_load(one, other):
    return torch.equal(one.assignments, other.assignments) and torch.allclose(one.probabilities, other.probabilities)
