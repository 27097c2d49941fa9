"""What stays exact in half precision: positions, norms, the router; and that a bfloat16 model runs at all."""

import pytest
import torch

from rxt_model.config import MemoryConfig, MoEConfig
from rxt_model.layers.parts import norm, rope, rotate
from rxt_model.moe.layer import MoELayer
from tests.support.models import small_model

FAR = 8192


def test_bfloat16_keys_turn_by_the_exact_angle_at_every_position():
    positions = torch.arange(FAR)
    units = torch.tensor([1.0, 0.0]).repeat(16).bfloat16().expand(FAR, 32)
    turned = rotate(units, rope(positions, 32, 100_000.0))
    assert turned.dtype == torch.bfloat16
    angles = positions[:, None].double() * 100_000.0 ** (-torch.arange(0, 32, 2).double() / 32)
    exact = torch.stack((angles.cos(), angles.sin()), -1).flatten(1)
    assert (turned.double() - exact).abs().max() < 0.01
    assert (turned[1:] != turned[:-1]).any(1).all()


@torch.no_grad()
def test_a_bfloat16_model_knows_its_far_tokens_as_well_as_its_near_ones():
    """The difference to fp32 with the same weights does not grow over thousands of positions. With angles in half
    precision it would. Attention is sharp, so the result depends on positions."""
    model = small_model(stateful_layers=1, rope_base=100_000.0).eval()
    model.decoder.initial[0].attention.project.weight[:24] *= 4  # queries and keys
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    ids = torch.randint(11, 64, (1, 4000), generator=torch.Generator().manual_seed(1))
    memory = model.initial_memory(1, torch.Generator().manual_seed(0)).bfloat16()
    exact, rounded = (model.to(t).decode(ids, memory.to(t)).hidden[0].float() for t in (torch.float32, torch.bfloat16))
    error = (rounded - exact).abs().mean(1)
    assert error[-500:].mean() < 1.5 * error[:500].mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [4.0, 1.0, 0.02])
def test_norms_bring_the_root_mean_square_to_one(dtype, scale):
    """This holds in every dtype, also for a fresh memory of standard deviation 0.02: epsilon does not depend on the
    dtype."""
    x = (scale * torch.randn(64, 512, generator=torch.Generator().manual_seed(0))).to(dtype)
    normed = norm(512, 1e-6).to(dtype)(x).float()
    torch.testing.assert_close(normed.pow(2).mean(-1).sqrt(), torch.ones(64), rtol=0, atol=5e-3)


def test_the_router_works_in_float32_under_autocast():
    torch.manual_seed(0)
    layer, x = MoELayer(32, MoEConfig(experts=8, top_k=2, expert_dim=4)), torch.randn(200, 32)
    torch.nn.init.normal_(layer.experts.w_in)
    torch.nn.init.normal_(layer.experts.w_out)
    whole, exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        halved, load = layer(x)
    assert not torch.equal(halved, whole)
    assert torch.equal(load.probabilities, exact.probabilities)
    assert torch.equal(load.assignments, exact.assignments)


@pytest.mark.parametrize("variant", ["gated", "competitive"])
def test_a_bfloat16_model_reads_and_writes_its_memory_and_learns(variant):
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        model = small_model(memory=MemoryConfig(slots=6, variant=variant)).to(dtype)
        held = model.initial_memory(2, torch.Generator().manual_seed(0))
        ids = torch.randint(11, 64, (2, 8), generator=torch.Generator().manual_seed(1))
        for _ in range(2):
            held = model.write(held, model.encode(ids, ids > 0), ids > 0)
        logits = model.logits(model.decode(ids, held))
        assert held.dtype == logits.dtype == dtype
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert model.embedding.weight.grad.any() and model.encoder.layers[0].attention.out.weight.grad.any()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
