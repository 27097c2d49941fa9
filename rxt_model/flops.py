"""Count FLOPs of modules from the shapes of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rxt_model.delta.layer import GatedDelta, MemoryDrive
from rxt_model.delta.sequences import CHUNK
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


def delta_core(delta: GatedDelta, length: int) -> int:
    """Count the FLOPs of the gated delta rule over a sequence of `length` tokens, in chunks of C places: two products
    of C x C pairs and one with what they write, and four with the state. The triangular system is not counted."""
    chunk = min(CHUNK, length)
    places, width = -(-length // chunk) * chunk, delta.out.in_features // delta.heads
    return 2 * places * delta.heads * width * (3 * chunk + 3 * width)


def drive_flops(drive: MemoryDrive, slots: int) -> Flops:
    """Count what a memory of so many slots tells a layer: keys and values, their products, mean, and gates."""
    keys, inner = drive.key_value.weight, drive.key_value.out_features // 2
    matrices = 2 * (slots * keys.numel() + drive.gates.weight.numel())
    return Flops(matrices, 2 * slots * (inner * inner // drive.heads + keys.shape[1]))
