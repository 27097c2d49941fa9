"""Parameter counts, summed from a built model (the meta device will do)."""

from __future__ import annotations

from torch import nn

from rxt_model.moe import MoELayer


def parameters(module: nn.Module) -> int:
    """All parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def active_parameters(module: nn.Module) -> int:
    """Parameters that one token uses: of each routed stack only the share of its top-k experts."""
    idle = 0
    for layer in module.modules():
        if isinstance(layer, MoELayer):
            routed, experts = parameters(layer.experts), layer.experts.w_in.shape[0]
            idle += routed // experts * (experts - layer.top_k)
    return parameters(module) - idle
