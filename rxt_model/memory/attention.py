"""The memory write of all layers: encoded data of a finished interaction updates the short-term memory.

Every layer reads the old memory and all layers are replaced at once. Shapes: memory [L, B, S, d], encoded data
[L, B, T, d], mask [B, T] True at real tokens. What a write takes from the interaction alone (its keys and values, for
instance, [L, B, T, P]) is projected first, so that training projects all interactions of its conversations at once and
only the rest goes turn by turn.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.flops import Flops
from rxt_model.layers import Layers, norm
from rxt_model.memory.registry import WRITES
from rxt_model.memory.write import MemoryWrite


class MemoryAttention(nn.Module):
    """A `MemoryWrite` per stateful layer, with the mean over layers that some of them read."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.config = config.memory
        write = _write(config.memory.variant)
        self.selects = WRITES[config.memory.variant].selects
        self.layers = Layers[MemoryWrite](write(config) for _ in range(config.stateful_layers))
        self.mean_norm = norm(config.dim, config.norm_eps) if write.takes_mean else None

    @torch.no_grad()
    def start(self) -> None:
        """Once, after fresh weights were drawn: what the writes do to their own."""
        for layer in self.layers:
            if not any(parameter.is_meta for parameter in layer.parameters()):
                layer.start()

    def flops(self, length: int, slots: int) -> Flops:
        """Of one write of `length` encoded tokens into `slots` slots per layer."""
        return sum((layer.flops(length, slots) for layer in self.layers), Flops(0, 0))

    def _means(self, memory: Tensor) -> list[Tensor | None]:
        """Per layer the normalised mean over its group of consecutive layers, with or without the layer itself."""
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
        """What the writes take from encoded data [L, B, T, d] of whichever conversations and turns: [L, B, T, P]."""
        visible = _visible(mask)
        parts = zip(self.layers, encoded.unbind(0), strict=True)
        return torch.stack([layer.project(states, rope, visible) for layer, states in parts])

    def importance(self, states: Tensor) -> Tensor:
        """How much encoder states [L, .., d] are worth keeping, as logits [L, ..]; of writes that select."""
        parts = zip(self.layers, states.unbind(0), strict=True)
        return torch.stack([layer.importance(own) for layer, own in parts])

    def forward(self, memory: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """The next memory [L, B, S, d]. Rows without a real token keep their memory."""
        visible = _visible(mask)
        parts = zip(self.layers, memory.unbind(0), self._means(memory), projected.unbind(0), strict=True)
        updated = [layer(slots, mean, taken, visible) for layer, slots, mean, taken in parts]
        return torch.where(mask.any(-1)[None, :, None, None], torch.stack(updated), memory)


def _visible(mask: Tensor) -> Tensor:
    """A row that is all padding would attend to nothing: it sees token 0, and what comes of it is discarded."""
    return mask | (~mask.any(-1, keepdim=True) & (torch.arange(mask.shape[1], device=mask.device) == 0))


def _write(variant: str) -> type[MemoryWrite]:
    module, _, name = WRITES[variant].layer.partition(":")
    return getattr(importlib.import_module(module), name)
