"""The state of one conversation: its short-term memory and how many interactions were written to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rxt_model.model import ReactiveTransformer


@dataclass(frozen=True)
class ConversationState:
    """`memory` [L, 1, S, d]; `turns` counts writes. A value: every change gives a new state, so a fork is a name."""

    memory: Tensor
    turns: int = 0

    @classmethod
    def new(cls, model: ReactiveTransformer, seed: int = 0) -> ConversationState:
        generator = torch.Generator(device=model.embedding.weight.device).manual_seed(seed)
        return cls(model.initial_memory(1, generator))

    @torch.no_grad()
    def written(self, model: ReactiveTransformer, interaction: Sequence[int]) -> ConversationState:
        """The state after one whole interaction (query and answer ids)."""
        ids = torch.tensor([list(interaction)], device=self.memory.device)
        mask = torch.ones_like(ids, dtype=torch.bool)
        encoded = model.encode(ids, mask, memory=self.memory)
        return replace(self, memory=model.write(self.memory, encoded, mask), turns=self.turns + 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """One safetensors file; loading it gives the same bits."""
        save_file({"memory": self.memory.contiguous(), "turns": torch.tensor(self.turns)}, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: ReactiveTransformer) -> ConversationState:
        """Refuses a memory of another shape."""
        held = load_file(path)
        expected = tuple(model.initial_memory(1).shape)
        if "memory" not in held or tuple(held["memory"].shape) != expected:
            found = tuple(held["memory"].shape) if "memory" in held else "no memory"
            raise ValueError(f"{path}: memory {found}, but this model's is {expected}")
        return cls(held["memory"], int(held["turns"]))
