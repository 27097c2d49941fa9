"""The small parts that every layer is made of: norm, rotary positions, gated feed-forward, initialisation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm(dim: int, eps: float) -> nn.RMSNorm:
    """x * w / sqrt(mean(x^2) + eps), statistics in fp32 whatever the dtype of x."""
    return nn.RMSNorm(dim, eps=eps)


def rope(positions: Tensor, head_dim: int, base: float) -> Tensor:
    """Rotary angles of integer positions [..] as unit complex numbers [.., head_dim / 2], shared by all layers.

    Angles in fp64, results in complex64: half precision would merge neighbouring positions.
    """
    rates = base ** (-torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64) / head_dim)
    angles = positions[..., None] * rates
    return torch.complex(angles.cos().float(), angles.sin().float())


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Rotary embedding of x [.., head_dim] on interleaved pairs (0,1), (2,3), ...; `rope` broadcasts against them."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rope).flatten(-2).to(x.dtype)


class SwiGLU(nn.Module):
    """Dense feed-forward d -> hidden -> d: one fused projection split into (linear, gate), linear * SiLU(gate)."""

    def __init__(self, dim: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 2 * hidden, bias=bias)
        self.down = nn.Linear(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        linear, gate = self.up(x).chunk(2, -1)
        return self.down(linear * F.silu(gate))


def initialise(module: nn.Module, layers: int) -> None:
    """Normal weights of variance 1 / fan-in; projections back into the residual stream shrink with its depth."""
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2 or name.endswith("slot_identity"):
            continue
        if "embedding" in name:
            nn.init.normal_(parameter, std=0.5)
            continue
        fan_in = parameter.shape[-2] if parameter.dim() == 3 else parameter.shape[-1]
        shrink = math.sqrt(2 * layers) if name.endswith(("down.weight", "out.weight", "w_out")) else 1.0
        nn.init.normal_(parameter, std=1 / math.sqrt(fan_in) / shrink)
