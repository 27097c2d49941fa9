"""Count FLOPs of modules from the shapes of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.parts import parts_of
from rxt_model.moe.layer import MoELayer


@dataclass(frozen=True)
class Flops:
    """Forward FLOPs of the weight matrices and of the attention cores (scores and values). A multiply-add counts as 2.

    Norms, gates, softmax and other element-wise work are left out.
    """

    matrices: float
    attention: float

    def per(self, tokens: int) -> Flops:
        """Return the FLOPs per token, if these are for `tokens` tokens."""
        return Flops(self.matrices / tokens, self.attention / tokens)

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.matrices + other.matrices, self.attention + other.attention)


def weights(module: nn.Module) -> int:
    """Count the matrix weights that one row meets: of routed experts only the top-k."""
    routed = sum(
        layer.top_k * (layer.experts.w_in[0].numel() + layer.experts.w_out[0].numel())
        for layer in parts_of(module, MoELayer)
    )
    return routed + sum(layer.weight.numel() for layer in parts_of(module, nn.Linear))


def attention_core(attention: SelfAttention | CrossAttention, queries: int, keys: float) -> float:
    """Count the FLOPs of scores and weighted values for `queries` rows that see `keys` rows each."""
    return 4 * queries * keys * attention.out.in_features
