"""Mixture-of-experts feed-forward. Every token goes to its top-k experts, none is dropped, and the load is reported."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rxt_model.config import MoEConfig
from rxt_model.kernels.experts import MainGradients
from rxt_model.kernels.topk import Selection
from rxt_model.layers.parts import Layers, SwiGLU
from rxt_model.moe.experts import routed_experts
from rxt_model.moe.router import Router, select


class Routing(NamedTuple):
    """The load of one layer: assignments per expert [E]; sum of router probabilities per expert [E]; tokens routed [];
    and `z` [], the squared log-sum-exp of the router's logits, summed over the tokens. `shared` [tokens, N_s] are the
    weights of the shared experts, if a gate gives them any."""

    assignments: Tensor
    probabilities: Tensor
    tokens: Tensor
    z: Tensor
    shared: Tensor | None = None


class Experts(nn.Module):
    """Stacked SwiGLU experts."""

    own_start = ("b_in", "b_out")

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        self.w_in = nn.Parameter(torch.empty(config.experts, dim, 2 * config.expert_dim))
        self.w_out = nn.Parameter(torch.empty(config.experts, config.expert_dim, dim))
        own = config.bias == "expert"
        self.b_in = nn.Parameter(torch.zeros(config.experts, 2 * config.expert_dim)) if own else None
        self.b_out = nn.Parameter(torch.zeros(config.experts, dim)) if own else None
        self.main_gradients: MainGradients | None = None  # for w_in and w_out, see `MainWeights`

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Map x [N, d], weights and chosen experts [N, K] to weighted sums [N, d] and assignments per expert [E]."""
        return routed_experts(
            x, weights, chosen, self.w_in, self.w_out, self.b_in, self.b_out, main_gradients=self.main_gradients
        )


class SharedExperts(nn.Module):
    """Experts that every token uses, weighted by a softmax gate. A single one has no gate."""

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        own = config.bias == "expert"
        self.experts = Layers[SwiGLU](SwiGLU(dim, config.shared_dim, bias=own) for _ in range(config.shared_experts))
        self.gate = nn.Linear(dim, config.shared_experts, bias=False) if config.shared_experts > 1 else None
        self.bias = None if own else nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map real tokens x [N, d] to [N, d], and return the weights of the experts [N, N_s] if there is a gate."""
        weights = None
        if self.gate is None:
            y = self.experts[0](x)
        else:
            weights = self.gate(x).softmax(-1)
            first, *others = (expert(x) * weights[:, i : i + 1] for i, expert in enumerate(self.experts))
            y = sum(others, first)
        return y if self.bias is None else y + self.bias, weights


class MoELayer(nn.Module):
    """y = sum of top-k weighted experts + b, plus the shared experts. Router logits and softmax are fp32.

    If experts have biases of their own, there is no b. `selection_bias` [E] fp32, if there is one, is added to the
    logits only to choose the top-k. No gradient moves it (`rxt_model.moe.selection_bias`).
    """

    def __init__(self, dim: int, config: MoEConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.router = Router(dim, config.experts)
        self.experts = Experts(dim, config)
        self.bias = nn.Parameter(torch.zeros(dim)) if config.bias == "layer" else None
        self.shared = SharedExperts(dim, config) if config.shared_experts else None
        start = torch.zeros(config.experts, dtype=torch.float32) if config.selection_bias else None
        self.register_buffer("selection_bias", start)

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """Map real tokens x [N, d] to ([N, d], load)."""
        y, counts, selection = self.routed(x)
        if self.bias is not None:
            y = y + self.bias
        weights = None
        if self.shared is not None:
            shared, weights = self.shared(x)
            y = y + shared
        tokens = torch.full((), float(x.shape[0]), device=x.device)
        return y, Routing(counts.float(), selection.mass, tokens, selection.log_total.square().sum(), weights)

    def routed(self, x: Tensor) -> tuple[Tensor, Tensor, Selection]:
        """Return the output of the routed experts for x [N, d], the assignments of each [E], and the selection."""
        selection = select(self.router(x), self.top_k, self.selection_bias)
        y, counts = self.experts(x, selection.weights, selection.chosen)
        return y, counts, selection


def balance_loss(routing: list[Routing]) -> Tensor:
    """Return E * sum_i f_i P_i, averaged over layers: 1 if balanced, about E / K if routing collapses onto K experts.

    This is the form of Switch and GShard: f_i is the share of assignments, P_i the mean probability over all tokens.
    """
    losses = []
    for load in routing:
        share = load.assignments / load.assignments.sum().clamp(min=1)
        mean = load.probabilities / load.tokens.clamp(min=1)
        losses.append(share.numel() * (share * mean).sum())
    return torch.stack(losses).mean()


def router_z_loss(routing: list[Routing]) -> Tensor:
    """Return the mean of logsumexp(logits)^2 over tokens, averaged over layers. It keeps logits where softmax is exact.

    From ST-MoE (arXiv 2202.08906). Like OLMoE's code, it does not divide by K.
    """
    return torch.stack([load.z / load.tokens.clamp(min=1) for load in routing]).mean()
