"""The small parts of every layer: norm, rotary positions, gated feed-forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class Layers(nn.ModuleList, Generic[Module]):
    """Modules of one class, in order."""

    def __iter__(self) -> Iterator[Module]:
        return cast("Iterator[Module]", super().__iter__())


def parts_of(module: nn.Module, kind: type[Module]) -> list[Module]:
    """Return all submodules of that class, including the module itself."""
    return [part for part in module.modules() if isinstance(part, kind)]


def norm(dim: int, eps: float) -> nn.RMSNorm:
    """Make the norm x * w / sqrt(mean(x^2) + eps). Its statistics are fp32, whatever the dtype of x."""
    return nn.RMSNorm(dim, eps=eps)


def rope(positions: Tensor, head_dim: int, base: float) -> Tensor:
    """Return the rotary angles of integer positions [..] as unit complex numbers [.., head_dim / 2], for all layers.

    Angles are computed in fp64 and returned in complex64: half precision would merge neighbouring positions.
    """
    rates = base ** (-torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64) / head_dim)
    angles = positions[..., None] * rates
    return torch.complex(angles.cos().float(), angles.sin().float())


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate x [.., head_dim] on interleaved pairs (0,1), (2,3), ...; `rope` broadcasts against the pairs."""
    if torch.compiler.is_compiling():  # the compiler fuses real numbers only
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = torch.view_as_real(rope).unbind(-1)
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)
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
