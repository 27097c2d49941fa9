"""The memory write of all layers updates the short-term memory from the encoded data of a finished interaction.

All layers read the old memory, and all are replaced at once. Shapes: memory [L, B, S, w], encoded data [L, B, T, w],
mask [B, T], which is True at real tokens. A write has two steps. `project` computes what depends on the interaction
alone, such as keys and values [L, B, T, P]; training does this for all interactions of its conversations at once.
`forward` updates the slots, turn by turn.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.flops import Flops
from rxt_model.layers.parts import Layers, norm
from rxt_model.memory.registry import WRITES
from rxt_model.memory.write import MemoryWrite


class MemoryAttention(nn.Module):
    """One `MemoryWrite` per stateful layer. Some writes also read a mean over layers, which is computed here."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.config = config.memory
        write = write_class(config.memory.variant)
        self.selects = WRITES[config.memory.variant].selects
        self.layers = Layers[MemoryWrite](write(config) for _ in range(config.stateful_layers))
        self.mean_norm = norm(config.dim, config.norm_eps) if write.takes_mean else None

    @torch.no_grad()
    def start(self) -> None:
        """Let each write set its own start values. Called once, after fresh weights are drawn."""
        for layer in self.layers:
            if not any(parameter.is_meta for parameter in layer.parameters()):
                layer.start()

    def flops(self, length: int, slots: int) -> Flops:
        """The FLOPs of writing `length` encoded tokens into `slots` slots per layer."""
        return sum((layer.flops(length, slots) for layer in self.layers), Flops(0, 0))

    def _means(self, memory: Tensor) -> list[Tensor | None]:
        """Return for each layer the normalised mean [B, S, d] over its group, with or without the layer itself."""
        if self.mean_norm is None:
            return [None] * len(self.layers)
        size = len(self.layers) // self.config.groups
        means = []
        for group in memory.split(size):
            if not self.config.exclude_self:
                means += [self.mean_norm(group.mean(0))] * size
                continue
            others = (group.sum(0) - group) / max(1, size - 1)
            means += [self.mean_norm(mean) for mean in others.unbind(0)]
        return means

    def project(self, encoded: Tensor, rope: Tensor, mask: Tensor) -> Tensor:
        """Project encoded data [L, B, T, w] of any conversations and turns to [L, B, T, P]."""
        visible = _visible(mask)
        parts = zip(self.layers, encoded.unbind(0), strict=True)
        return torch.stack([layer.project(states, rope, visible) for layer, states in parts])

    def importance(self, states: Tensor) -> Tensor:
        """Score how important encoder states [L, .., d] are, as logits [L, ..]. Only for writes that select."""
        parts = zip(self.layers, states.unbind(0), strict=True)
        return torch.stack([layer.importance(own) for layer, own in parts])

    def forward(self, memory: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """Return the next memory [L, B, S, w]. Rows without a real token keep their memory."""
        visible = _visible(mask)
        parts = zip(self.layers, memory.unbind(0), self._means(memory), projected.unbind(0), strict=True)
        updated = [layer(slots, mean, taken, visible) for layer, slots, mean, taken in parts]
        return torch.where(mask.any(-1)[None, :, None, None], torch.stack(updated), memory)


def _visible(mask: Tensor) -> Tensor:
    """Make token 0 visible in rows that are all padding, as these would attend to nothing. `forward` discards their
    result."""
    return mask | (~mask.any(-1, keepdim=True) & (torch.arange(mask.shape[1], device=mask.device) == 0))


def write_class(variant: str) -> type[MemoryWrite]:
    """The class of the layers of this write."""
    module, _, name = WRITES[variant].layer.partition(":")
    return getattr(importlib.import_module(module), name)
