"""Balance by selection biases: what they change and what they do not, how they move, and that they balance a toy."""

from types import SimpleNamespace

import pytest
import torch

from rxt_model.config import MoEConfig
from rxt_model.files.checkpoint import from_pretrained, load_config, save_pretrained
from rxt_model.moe.layer import MoELayer
from rxt_model.moe.router import select
from rxt_model.moe.selection_bias import LoadBalancer, add_selection_bias, expert_layers
from rxt_model.size import parameters
from tests.support.training_toys import toy_batch, toy_model, toy_training

EXPERTS, TOP_K = 8, 2


def biased(speed=1.0, **changes):
    model = toy_model(**changes)
    add_selection_bias(model)
    return model.train(), LoadBalancer(model.decoder, speed)


def decode(model, step=0):
    ids = toy_batch(step)["input_ids"][:, 0]
    return model.decode(ids, model.initial_memory(len(ids), torch.Generator().manual_seed(1)), mask=ids != 0)


def test_the_bias_chooses_and_the_logits_weigh():
    """The reference in fp64 takes, row by row, the k largest biased logits, then a softmax over their unbiased
    logits."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, EXPERTS, generator=generator, dtype=torch.float64).requires_grad_()
    bias = 2 * torch.randn(EXPERTS, generator=generator)
    found = select(logits, TOP_K, bias)
    expected, moved = [], 0
    for row, chosen in zip(logits, found.chosen.tolist(), strict=True):
        order = sorted(range(EXPERTS), key=lambda e: -(row[e] + bias[e]).item())[:TOP_K]
        assert order == chosen
        moved += set(order) != set(row.topk(TOP_K).indices.tolist())
        expected.append(row[order].exp() / row[order].exp().sum())
    assert moved > 10
    expected, plain = torch.stack(expected), select(logits, TOP_K)
    torch.testing.assert_close(found.weights, expected)
    assert torch.equal(found.mass, plain.mass) and torch.equal(found.log_total, plain.log_total)
    weighting = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    mine, theirs = (torch.autograd.grad((w * weighting).sum(), logits)[0] for w in (found.weights, expected))
    torch.testing.assert_close(mine, theirs)


def test_a_bias_of_zero_changes_no_bit_and_no_parameter():
    plain, (model, _) = toy_model().train(), biased()
    assert torch.equal(decode(plain).hidden, decode(model).hidden)
    assert parameters(plain) == parameters(model)
    new = model.state_dict().keys() - plain.state_dict().keys()
    assert len(new) == len(expert_layers(model.decoder)) and all(name.endswith(".selection_bias") for name in new)
    assert not any("selection_bias" in name for name in plain.state_dict())


def test_biases_move_once_per_step_by_the_sign_of_what_is_missing():
    model, balancer = biased(speed=0.5)
    first, second = ([load.assignments for load in decode(model, step).routing] for step in (0, 1))
    counts = [a + b for a, b in zip(first, second, strict=True)]
    with torch.no_grad():
        decode(model, 2)
    decode(model.eval(), 3)
    model.train()
    balancer.step()
    for layer, count in zip(expert_layers(model.decoder), counts, strict=True):
        mean = sum(count.tolist()) / len(count)
        delta = [0.5 * ((mean > c) - (mean < c)) for c in count.tolist()]
        expected = [d - sum(delta) / len(delta) for d in delta]
        assert layer.selection_bias.tolist() == pytest.approx(expected)
        assert layer.selection_bias.dtype == torch.float32
    before = [layer.selection_bias.clone() for layer in expert_layers(model.decoder)]
    balancer.step()  # nothing was counted since
    assert all(torch.equal(a, layer.selection_bias) for a, layer in zip(before, balancer.layers, strict=True))
    assert balancer.range() == pytest.approx(max((b.max() - b.min()).item() for b in before))


def test_a_router_that_is_not_trained_keeps_its_bias():
    model, balancer = biased()
    layers = expert_layers(model.decoder)
    layers[0].router.requires_grad_(False)
    decode(model)
    balancer.step()
    assert not layers[0].selection_bias.any() and layers[1].selection_bias.any()


def test_a_decoder_without_biases_is_refused():
    with pytest.raises(ValueError, match="bias_speed = 0.001: must be 0 for a decoder without selection biases"):
        LoadBalancer(toy_model().decoder, 0.001)


def test_biases_are_handed_over(tmp_path):
    model, balancer = biased()
    decode(model)
    balancer.step()
    save_pretrained(model, tmp_path)
    assert load_config(tmp_path)[1].moe.selection_bias
    loaded = from_pretrained(tmp_path)
    kept = [layer.selection_bias for layer in expert_layers(loaded.decoder)]
    assert all(torch.equal(a, layer.selection_bias) for a, layer in zip(kept, balancer.layers, strict=True))
    assert any(bias.any() for bias in kept)
    assert torch.equal(decode(loaded).hidden, decode(model.eval()).hidden)
    before = loaded.config
    add_selection_bias(loaded)  # the next stage
    assert loaded.config == before and any(layer.selection_bias.any() for layer in expert_layers(loaded.decoder))


class Skewed(torch.nn.Module):
    """A decoder with one expert layer whose router prefers some experts."""

    def __init__(self):
        super().__init__()
        config = MoEConfig(EXPERTS, TOP_K, expert_dim=2, selection_bias=True)
        self.layer = MoELayer(16, config)
        torch.nn.init.normal_(self.layer.experts.w_in)
        torch.nn.init.normal_(self.layer.experts.w_out)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.layer.router.weight.copy_(torch.randn(EXPERTS, 16, generator=generator) / 4)
            self.layer.router.weight[:, 0] = torch.linspace(-1, 1, EXPERTS)

    def forward(self, step):
        x = torch.randn(4000, 16, generator=torch.Generator().manual_seed(step))  # 1000 assignments per expert
        x[:, 0] = 1
        return SimpleNamespace(routing=[self.layer(x)[1]])


def test_a_skewed_router_is_balanced_and_stays_so():
    decoder = Skewed().train()
    balancer = LoadBalancer(decoder, speed=0.01)
    loads = []
    for step in range(160):
        assignments = decoder(step).routing[0].assignments
        loads.append((assignments.max() / assignments.mean()).item())
        balancer.step()
    assert loads[0] > 1.8
    # settled: every later batch, so also no swinging from one side to the other
    assert max(loads[110:]) < 1.2
    assert decoder.layer.selection_bias.mean().abs() < 1e-6
    balancer.close()
    decoder(0)
    still = decoder.layer.selection_bias.clone()
    balancer.step()
    assert torch.equal(still, decoder.layer.selection_bias)


def test_a_negative_speed_is_refused():
    with pytest.raises(ValueError, match="bias_speed"):
        toy_training(1, bias_speed=-1e-3)
