"""The small parts that every layer is made of: norm, rotary positions, gated feed-forward, initialisation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm(dim: int, eps: float) -> nn.RMSNorm:
    """x * w / sqrt(mean(x^2) + eps), statistics in fp32 whatever the dtype of x."""
    return nn.RMSNorm(dim, eps=eps)


Rope = tuple[Tensor, Tensor]


def rope(positions: Tensor, head_dim: int, base: float) -> Rope:
    """cos and sin of the rotary angles of positions [T] or [B, T], to be shared by all layers.

    Angles in fp64, results in fp32: half precision would merge neighbouring positions.
    """
    rates = base ** (-torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64) / head_dim)
    angles = positions[..., None] * rates
    if angles.dim() == 3:
        angles = angles[:, None]
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotary embedding of x [B, heads, T, head_dim] on interleaved pairs (0,1), (2,3), ..."""
    cos, sin = rope
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((first * cos - second * sin, first * sin + second * cos), -1).flatten(-2).to(x.dtype)


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
