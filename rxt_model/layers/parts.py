"""Small parts of the layers: norm, rotary positions, gated feed-forward, neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import Layout

NEIGHBOUR = 0.35  # initial weight of a neighbour; the token itself has weight 1

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
    if torch.compiler.is_compiling():  # the compiler cannot fuse complex numbers
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = torch.view_as_real(rope).unbind(-1)
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rope).flatten(-2).to(x.dtype)


class SwiGLU(nn.Module):
    """Dense feed-forward d -> hidden -> d. One fused projection gives (linear, gate); hidden = linear * SiLU(gate)."""

    def __init__(self, dim: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 2 * hidden, bias=bias)
        self.down = nn.Linear(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        linear, gate = self.up(x).chunk(2, -1)
        return self.down(linear * F.silu(gate))


def random_rotation(dim: int) -> Tensor:
    """Draw a random orthogonal matrix [dim, dim]."""
    return torch.linalg.qr(torch.randn(dim, dim))[0]


class Neighbours(nn.Linear):
    """Computes x_t + W [x_{t - k} for k in `offsets`]. Neighbours outside the token's interaction or document are 0.

    In a small model, attention alone does not bind a word to the words around it. Here each token contains its
    neighbours from the first step on. The literature knows this as token shift (RWKV, arXiv 2305.13048) and as Canon
    layers. W starts as one random rotation per offset, so that neighbours differ from the token and from each other.
    """

    own_start = ("weight",)

    def __init__(self, dim: int, offsets: Sequence[int]) -> None:
        super().__init__(len(offsets) * dim, dim, bias=False)
        self.offsets = tuple(offsets)
        if not self.weight.is_meta:
            with torch.no_grad():
                self.weight.copy_(NEIGHBOUR * torch.cat([random_rotation(dim) for _ in self.offsets], 1))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Mix neighbours into real tokens x [R, d]. Every document is whole and in order, and `positions` [R] count
        from 0 in each."""
        beside = [shifted(x, k) * (shifted(positions, k) == positions - k)[:, None] for k in self.offsets]
        return self._mixed(x, beside)

    def extend(self, x: Tensor, layout: Layout, cache: KeyValueCache) -> Tensor:
        """Mix neighbours into new tokens x [R, d] whose earlier tokens are cached. All offsets must be positive."""
        seen = cache.extend(self, layout.pad(x)[:, None])[0][:, 0]
        rows = torch.arange(len(seen), device=x.device)[:, None]
        places = [cache.positions - k for k in self.offsets]
        beside = [layout.pack(seen[rows, place.clamp(min=0)] * (place >= 0)[..., None]) for place in places]
        return self._mixed(x, beside)

    def _mixed(self, x: Tensor, beside: Sequence[Tensor]) -> Tensor:
        return x + F.linear(torch.cat(list(beside), -1), self.weight)


def shifted(x: Tensor, offset: int) -> Tensor:
    """Shift the rows of x [R, ..]: row r gets row r - offset, or 0 if there is no such row."""
    nothing = x.new_zeros(min(abs(offset), len(x)), *x.shape[1:])
    return torch.cat((nothing, x[: max(0, len(x) - offset)]) if offset > 0 else (x[-offset:], nothing))


def wide(x: Tensor) -> Tensor:
    """Return x in at least fp32: exponentials and their sums need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
