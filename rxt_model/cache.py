"""Keys and values of the interaction being generated; sized to it, dropped after it."""

from __future__ import annotations

import torch
from torch import Tensor


class KeyValueCache:
    """One entry per attention layer, for a batch whose rows have different lengths.

    `lengths` [B] counts the tokens of each row that are already held. A call adds the same number of new tokens T to
    every row (rows that need fewer pad on the right; the padding is overwritten by the next call).
    """

    def __init__(self, batch: int, capacity: int, device: torch.device) -> None:
        self.lengths = torch.zeros(batch, dtype=torch.long, device=device)
        self.capacity = capacity
        self.positions = torch.empty(0)
        self.mask = torch.empty(0)
        self._held: dict[object, tuple[Tensor, Tensor]] = {}

    def begin(self, tokens: int) -> Tensor:
        """Prepare for `tokens` new tokens per row; returns their positions [B, tokens]."""
        steps = torch.arange(tokens, device=self.lengths.device)
        self.positions = self.lengths[:, None] + steps
        slots = torch.arange(self.capacity, device=self.lengths.device)
        self.mask = (slots <= self.positions[..., None])[:, None]
        return self.positions

    def extend(self, layer: object, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [B, heads, T, head_dim] at the current positions; returns all keys and values of the layer."""
        if layer not in self._held:
            shape = (*k.shape[:2], self.capacity, k.shape[-1])
            self._held[layer] = (k.new_zeros(shape), v.new_zeros(shape))
        keys, values = self._held[layer]
        index = self.positions[:, None, :, None].expand(-1, k.shape[1], -1, k.shape[-1])
        keys.scatter_(2, index, k)
        values.scatter_(2, index, v)
        return keys, values

    def advance(self, counts: Tensor) -> None:
        """Each row keeps the first `counts` [B] of the tokens just added."""
        self.lengths = self.lengths + counts
