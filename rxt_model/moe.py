"""Mixture-of-experts feed-forward: every token goes to its top-k experts, none is dropped, load is reported."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import MoEConfig
from rxt_model.layers import SwiGLU


class Routing(NamedTuple):
    """Load of one layer: assignments per expert [E], sum of router probabilities per expert [E], tokens routed []."""

    assignments: Tensor
    probabilities: Tensor
    tokens: Tensor


class Experts(nn.Module):
    """Stacked SwiGLU experts; rows come sorted by expert."""

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        self.w_in = nn.Parameter(torch.empty(config.experts, dim, 2 * config.expert_dim))
        self.w_out = nn.Parameter(torch.empty(config.experts, config.expert_dim, dim))
        own = config.bias == "expert"
        self.b_in = nn.Parameter(torch.zeros(config.experts, 2 * config.expert_dim)) if own else None
        self.b_out = nn.Parameter(torch.zeros(config.experts, dim)) if own else None

    def forward(self, rows: Tensor, counts: Tensor) -> Tensor:
        """rows [R, d] sorted by expert, counts [E] rows of each -> [R, d]."""
        return run_experts(rows, counts, self.w_in, self.w_out, self.b_in, self.b_out)


def run_experts(
    rows: Tensor,
    counts: Tensor,
    w_in: Tensor,
    w_out: Tensor,
    b_in: Tensor | None = None,
    b_out: Tensor | None = None,
) -> Tensor:
    """rows [R, d] sorted by expert, counts [E], weights [E, d, 2f] and [E, f, d], biases [E, 2f], [E, d] -> [R, d]."""
    outputs = []
    # unbind gives one gradient node for the stack; indexing w_in[e] would allocate a full gradient per expert
    none = [None] * w_in.shape[0]
    biases = (none if b is None else b.unbind(0) for b in (b_in, b_out))
    parts = zip(rows.split(counts.tolist()), w_in.unbind(0), w_out.unbind(0), *biases, strict=True)
    for part, up, down, up_bias, down_bias in parts:
        if part.shape[0] == 0:
            continue
        linear, gate = _affine(part, up, up_bias).chunk(2, -1)
        outputs.append(_affine(linear * F.silu(gate), down, down_bias))
    return torch.cat(outputs) if outputs else rows


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else torch.addmm(bias, x, weight)


class SharedExperts(nn.Module):
    """Experts that every token uses, weighted by a softmax gate; a single one is added plainly."""

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        own = config.bias == "expert"
        self.experts = nn.ModuleList(SwiGLU(dim, config.shared_dim, bias=own) for _ in range(config.shared_experts))
        self.gate = nn.Linear(dim, config.shared_experts, bias=False) if config.shared_experts > 1 else None
        self.bias = None if own else nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            y = self.experts[0](x)
        else:
            weights = self.gate(x).softmax(-1)
            y = sum(expert(x) * weights[:, i : i + 1] for i, expert in enumerate(self.experts))
        return y if self.bias is None else y + self.bias


class MoELayer(nn.Module):
    """y = sum of top-k weighted experts + b, plus the shared experts. Router logits and softmax in fp32.

    Experts with biases of their own take the place of b.
    """

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.router = nn.Linear(dim, config.experts, bias=False)
        self.experts = Experts(dim, config)
        self.bias = nn.Parameter(torch.zeros(dim)) if config.bias == "layer" else None
        self.shared = SharedExperts(dim, config) if config.shared_experts else None

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """x [N, d], real tokens only -> ([N, d], load)."""
        with torch.autocast(x.device.type, enabled=False):  # it would take the product back to half precision
            probabilities = F.linear(x.float(), self.router.weight.float()).softmax(-1)
        weights, chosen = probabilities.topk(self.top_k, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        flat = chosen.flatten()
        counts = torch.bincount(flat, minlength=probabilities.shape[-1])
        order = flat.argsort(stable=True)
        rows = self.experts(x[order // self.top_k], counts)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel(), device=order.device)
        # a gather and a weighted sum in fixed order: the same bits every time, unlike a scatter-add
        y = (rows[inverse].unflatten(0, (-1, self.top_k)) * weights[..., None].to(rows.dtype)).sum(1)
        if self.bias is not None:
            y = y + self.bias
        if self.shared is not None:
            y = y + self.shared(x)
        tokens = torch.tensor(float(x.shape[0]), device=x.device)
        return y, Routing(counts.float(), probabilities.sum(0), tokens)


def balance_loss(routing: list[Routing]) -> Tensor:
    """E * sum_i f_i P_i averaged over layers: 1 when balanced, about E / K when routing collapses onto K experts.

    Switch / GShard form: f_i is the share of assignments, P_i the mean probability over all tokens.
    """
    losses = []
    for load in routing:
        share = load.assignments / load.assignments.sum().clamp(min=1)
        mean = load.probabilities / load.tokens.clamp(min=1)
        losses.append(share.numel() * (share * mean).sum())
    return torch.stack(losses).mean()
