"""The load-balancing loss of real layers: its values, and that every expert layer has its part in it."""

import pytest
import torch

from rxt_model.config import MoEConfig
from rxt_model.moe import MoELayer, balance_loss
from tests.models import small_model

EXPERTS, TOP_K = 8, 2


def balance_of(router, tokens):
    layer = MoELayer(EXPERTS, MoEConfig(EXPERTS, TOP_K, expert_dim=2))
    torch.nn.init.normal_(layer.experts.w_in)
    torch.nn.init.normal_(layer.experts.w_out)
    with torch.no_grad():
        layer.router.weight.copy_(router)
        return balance_loss([layer(tokens)[1]]).item()


def test_it_rises_from_one_to_experts_over_top_k_as_routing_collapses():
    """Token i likes experts i and i + 1; more and more of the tokens like experts 0 and 1 instead."""
    tokens = torch.eye(EXPERTS).repeat(5, 1)
    own = 20 * (torch.eye(EXPERTS) + torch.eye(EXPERTS).roll(1, 0))
    losses = []
    for collapsed in range(EXPERTS + 1):
        router = own.clone()
        router[:, :collapsed] = own[:, :1]
        losses.append(balance_of(router, tokens))
    assert losses[0] == pytest.approx(1) and losses[-1] == pytest.approx(EXPERTS / TOP_K)
    assert all(more > less + 1e-3 for less, more in zip(losses[1:], losses[2:], strict=False))


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
