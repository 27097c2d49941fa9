"""Muon against its formula in fp64, by singular values, and what it is given to train."""

import pytest
import torch

from jobs.configs.training import OptimizerConfig
from jobs.training.optimizers.muon import Muon, orthogonal
from jobs.training.optimizers.stage import StageOptimizer
from rxt_model.config import DeltaConfig, MemoryConfig, MoEConfig
from tests.support.training_toys import toy_model

SHAPES = [(6, 6), (5, 12), (12, 5), (3, 8, 4), (3, 4, 8)]


def by_singular_values(matrices):
    """Apply the published polynomial five times to the singular values, in fp64. This is what the iteration does to a
    matrix, without its products."""
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / values.square().sum(-1, keepdim=True).sqrt()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return (left * values[..., None, :]) @ right


@pytest.mark.parametrize("shape", SHAPES)
def test_three_updates_equal_the_formula(shape):
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(shape, generator=generator))
    expected, momentum = weight.detach().double(), torch.zeros(shape, dtype=torch.float64)
    muon = Muon([weight], weight_decay=0.1)
    for lr in (0.01, 0.03, 0.02):
        weight.grad = torch.randn(shape, generator=generator)
        muon.step(lr)
        gradient = weight.grad.double()
        momentum = 0.95 * momentum + 0.05 * gradient
        direction = by_singular_values(0.95 * momentum + 0.05 * gradient)
        expected = (1 - lr * 0.1) * expected - lr * 0.2 * max(shape[-2:]) ** 0.5 * direction
        torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_an_update_is_that_of_torch_up_to_its_rounding():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(8, 20)) for _ in range(2))
    ours.grad = theirs.grad = torch.randn(8, 20)
    Muon([ours], weight_decay=0.1).step(0.01)
    torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw").step()
    torch.testing.assert_close(ours - 1, theirs - 1, rtol=0.02, atol=1e-4)


def test_singular_values_come_near_one_and_zeros_stay():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 20, 50)))
    assert values.min() > 0.6 and values.max() < 1.2
    mixed = orthogonal(torch.stack([torch.randn(4, 6), torch.zeros(4, 6)]))  # an expert without a token
    assert mixed[0].any() and not mixed[1].any()


def test_muon_gets_the_hidden_matrices_alone():
    moe = MoEConfig(experts=4, top_k=2, expert_dim=8, bias="expert")
    copying = toy_model(memory=MemoryConfig(slots=4, variant="selective"), copying=True)
    delta = toy_model(delta=DeltaConfig(2))
    models = torch.nn.ModuleDict({"experts": toy_model(moe=moe), "copying": copying, "delta": delta})
    optimizer = StageOptimizer(models, OptimizerConfig(matrices="muon"), 1)
    names = {name for name, p in models.named_parameters() if p in optimizer.muon.state}
    others = {name for name, _ in models.named_parameters()} - names
    assert names >= {
        "copying.encoder.layers.0.attention.project.weight",
        "copying.decoder.stateful.0.memory_read.out.weight",
        "copying.mlm_head.dense.weight",
        "delta.decoder.stateful.0.memory_drive.key_value.weight",
        "experts.decoder.final.0.feed_forward.experts.w_in",
        "experts.decoder.final.0.feed_forward.router.weight",
    }
    assert others >= {
        "copying.embedding.weight",
        "copying.decoder.head.weight",
        "copying.mlm_head.decode.weight",
        "copying.decoder.copying.share.weight",  # has a side of 1
        "experts.decoder.final.0.feed_forward.experts.b_in",
        "experts.memory_attention.layers.0.slot_identity",
        "experts.decoder.norm.weight",
        "delta.decoder.stateful.0.attention.conv",
    }
    assert not StageOptimizer(copying, OptimizerConfig(), 1).muon.state


def test_every_parameter_has_moments_of_one_method():
    model = toy_model()
    optimizer = StageOptimizer(model, OptimizerConfig(matrices="muon"), 1)
    found = [name.rpartition(".")[0] for name in optimizer.moments() if name.endswith(("exp_avg", "momentum_buffer"))]
    assert found == [name for name, _ in model.named_parameters()]
    for name, moment in optimizer.moments().items():
        assert not moment.any(), name


def test_what_is_frozen_keeps_its_bits_and_momentum():
    model = toy_model()
    optimizer = StageOptimizer(model, OptimizerConfig(matrices="muon", warmup_steps=0), 9)
    encoder = model.encoder.layers[0].feed_forward.up.weight
    router = model.decoder.final[0].feed_forward.router.weight
    states = []
    for step, trained in enumerate([[model], [model.decoder]]):
        optimizer.begin(step, trained)
        sum(p.square().sum() for p in model.parameters() if p.requires_grad).backward()
        optimizer.step()
        states.append([t.clone() for p in (encoder, router) for t in (p, optimizer.muon.state[p]["momentum_buffer"])])
    assert [torch.equal(a, b) for a, b in zip(*states, strict=True)] == [True, True, False, False]
    assert encoder.grad is None and router.grad is None


def test_gradients_are_clipped_before_both():
    """The momentum after a clipped step is that of gradients whose joint norm is the limit."""
    model = toy_model()
    optimizer = StageOptimizer(model, OptimizerConfig(matrices="muon", clip=1.0), 9)
    optimizer.begin(0, [model])
    (1000 * sum(p.square().sum() for p in model.parameters())).backward()
    norm = optimizer.step()
    moments = optimizer.moments()
    square = sum(
        (moment / (0.05 if name.endswith("momentum_buffer") else 0.1)).square().sum()
        for name, moment in moments.items()
        if name.endswith(("momentum_buffer", "exp_avg"))
    )
    assert norm > 1000 and torch.as_tensor(square).sqrt().item() == pytest.approx(1.0, rel=1e-3)
