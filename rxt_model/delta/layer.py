"""Memory-driven Gated DeltaNet: linear self-attention that starts from short-term memory, and whose gates see it.

For each head, with the memory M of the layer, n_s its normed slots and m their mean:

    q, k = L2norm(SiLU(conv(W x)));   v = SiLU(conv(W_v x))
    alpha = exp(-exp(A) softplus(W_a x + U_a m + b));   beta = sigmoid(W_b x + U_b m)
    R_0   = (1 - gamma) mean_s (v_s k_s^T);   gamma = sigmoid(w . m + c);   v_s = V n_s;   k_s = L2norm(K n_s)
    y     = W_O(RMSNorm(o) * sigmoid(W_g x))

o comes from the gated delta rule (arXiv 2412.06464). What the state held at the end of an interaction reaches the next
one through memory alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import DeltaConfig
from rxt_model.delta.rule import gated_delta_rule
from rxt_model.delta.sequences import Sequences
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import norm, wide

TINY = 1e-6
SLOWEST, FASTEST = 1e-3, 0.5  # -log alpha of a new model's heads, for x = 0: they keep half for 700 tokens to 1 token


class Drive(NamedTuple):
    """What memories tell a layer: the first state [G, H, d_v, d_k], and terms of the decay and of beta [G, H]."""

    start: Tensor
    decay: Tensor
    beta: Tensor

    def at(self, rows: Sequence[int]) -> Drive:
        """Return the drives of these rows, in this order."""
        return Drive(*(part[rows] for part in self))


class Recurrence(NamedTuple):
    """The sequences of a batch, and the drive of every stateful layer."""

    sequences: Sequences
    drives: list[Drive]


class MemoryDrive(nn.Module):
    """Reads the normed memory of a layer for its Gated DeltaNet."""

    def __init__(self, dim: int, head_dim: int, config: DeltaConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.key_value = nn.Linear(dim, 2 * config.heads * head_dim, bias=False)
        self.gates = nn.Linear(dim, 3 * config.heads, bias=False)
        rates = torch.logspace(math.log10(SLOWEST), math.log10(FASTEST), config.heads)
        self.decay_bias = nn.Parameter(rates.expm1().log())  # the inverse of softplus
        self.start_bias = nn.Parameter(torch.zeros(config.heads))

    def forward(self, slots: Tensor, mask: Tensor | None = None) -> Drive:
        """Return the drive of each memory, from normed slots [G, M, d]. With `mask` [B, M], G of which share a memory,
        it is that of each row, from the slots that the row may read."""
        shape = (len(slots), -1, slots.shape[1])
        share = slots.new_ones(shape[0], 1, shape[2]) if mask is None else mask.to(slots).view(shape)
        share = share / share.sum(-1, keepdim=True)  # [G, N, M]
        keys, values = (part.transpose(1, 2) for part in self._keys_values(slots))  # [G, H, M, d]
        with torch.autocast(slots.device.type, enabled=False):
            pairs = (values[:, None] * wide(share)[:, :, None, :, None]).mT @ keys[:, None]
        return self._drive((share @ slots).flatten(0, 1), pairs.flatten(0, 1))

    def of_documents(self, states: Tensor, sequences: Sequences) -> Drive:
        """Return the drive of each sequence, from the normed states [R, d] of its own tokens."""
        count, real = sequences.lengths[:, None].to(states), sequences.real[..., None]
        mean = sequences.sums((sequences.cut(states) * real).sum(1)) / count
        keys, values = (sequences.cut(part).transpose(1, 2) for part in self._keys_values(states))  # [n, H, C, d]
        with torch.autocast(states.device.type, enabled=False):
            pairs = sequences.sums((values * real[:, None]).mT @ keys)
        return self._drive(mean, pairs / count[..., None, None])

    def _keys_values(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = wide(self.key_value(slots)).unflatten(-1, (2 * self.heads, -1)).chunk(2, -2)
        return unit(keys), values

    def _drive(self, mean: Tensor, pairs: Tensor) -> Drive:
        decay, beta, gamma = wide(self.gates(mean)).chunk(3, -1)
        kept = (-gamma - self.start_bias).sigmoid()  # 1 - gamma
        return Drive(kept[..., None, None] * pairs, decay + self.decay_bias, beta)


class GatedDelta(nn.Module):
    """Takes the place of causal self-attention in a stateful layer. Its state has a fixed size."""

    def __init__(self, dim: int, head_dim: int, config: DeltaConfig, eps: float) -> None:
        super().__init__()
        self.heads, self.kernel = config.heads, config.kernel
        inner = config.heads * head_dim
        self.widths = [3 * inner, inner, config.heads, config.heads]
        self.project = nn.Linear(dim, sum(self.widths), bias=False)
        self.conv = nn.Parameter(torch.empty(3 * inner, config.kernel))  # the last column meets the token itself
        self.rate = nn.Parameter(torch.zeros(config.heads))  # A
        self.norm = norm(head_dim, eps)
        self.out = nn.Linear(inner, dim, bias=False)

    @property
    def state_values(self) -> int:
        """The values that decoding keeps for a conversation: the state of every head, and the window."""
        inner = self.out.in_features
        return inner * inner // self.heads + (self.kernel - 1) * 3 * inner

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        sequences: Sequences,
        drive: Drive,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Map real tokens x [R, d] to [R, d]. With a cache they go on where its tokens ended."""
        mixed, gate, decay, beta = self.project(x).split(self.widths, -1)
        source, start = sequences.source, drive.start
        if cache is None:
            mixed = self._convolved(sequences.cut(mixed, self.kernel - 1))
        else:
            nothing = x.new_zeros(layout.rows, self.kernel - 1, mixed.shape[-1])
            window, start = cache.state(self) or (nothing, wide(start))
            joined = torch.cat((window, layout.pad(mixed)), 1)
            ends = layout.counts(x)[:, None] + torch.arange(self.kernel - 1, device=x.device)
            window = joined.gather(1, ends[..., None].expand(-1, -1, joined.shape[-1]))
            mixed = sequences.cut(layout.pack(self._convolved(joined)))
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = wide(mixed).unflatten(-1, (3, self.heads, -1)).unbind(-3)
            at = source[sequences.owner]
            decay = sequences.cut(-wide(self.rate).exp() * F.softplus(wide(decay) + drive.decay[at]))
            beta = sequences.cut((wide(beta) + drive.beta[at]).sigmoid())
            out, end = gated_delta_rule(unit(q), unit(k), v, decay, beta, wide(start)[source], sequences)
        if cache is not None:
            cache.hold(self, window, start.index_copy(0, sequences.rows, end))
        normed = self.norm(out.to(gate.dtype)).flatten(-2)
        return self.out(normed * gate.sigmoid())

    def _convolved(self, joined: Tensor) -> Tensor:
        """Convolve tokens [n, T, w] channel by channel. They come after kernel - 1 earlier ones in `joined`."""
        length = joined.shape[1] - self.kernel + 1
        total = joined[:, :length] * self.conv[:, 0]
        for at in range(1, self.kernel):
            total = torch.addcmul(total, joined[:, at : at + length], self.conv[:, at])
        return F.silu(total)


def unit(x: Tensor) -> Tensor:
    """Scale vectors [.., d] to length 1."""
    return x * (x.square().sum(-1, keepdim=True) + TINY).rsqrt()
