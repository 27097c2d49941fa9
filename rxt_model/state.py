"""The state of one conversation: its short-term memory and how many interactions were written to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rxt_model.check import check_ids, check_memory, check_rows
from rxt_model.layout import pad_rows
from rxt_model.model import ReactiveTransformer


def remember(model: ReactiveTransformer, memory: Tensor, interactions: Sequence[Sequence[int]]) -> Tensor:
    """The memory [L, B, S, d] after one whole interaction (query and answer ids) of each of its conversations.

    Raises ValueError for a memory of another shape, ids beyond the vocabulary, an interaction without tokens of its
    own or longer than the model's `length`.
    """
    config = model.config
    check_rows("interactions", interactions, config, longest=config.length)
    check_memory(memory, config, len(interactions), config.memory.slots)
    ids, mask = pad_rows(interactions, config.tokens.pad)
    check_ids(ids, config.vocab_size)
    ids, mask = ids.to(memory.device), mask.to(memory.device)
    return model.write(memory, model.encode(ids, mask, memory=memory), mask)


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
        return replace(self, memory=remember(model, self.memory, [interaction]), turns=self.turns + 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """One safetensors file; loading it gives the same bits."""
        save_file({"memory": self.memory.contiguous(), "turns": torch.tensor(self.turns)}, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: ReactiveTransformer) -> ConversationState:
        """Raises ValueError for a damaged file, one that holds something else, and a memory of another shape."""
        try:
            held = load_file(path, device=str(model.embedding.weight.device))
        except SafetensorError as error:
            raise ValueError(f"{path}: truncated or damaged ({error})") from error
        if held.keys() != {"memory", "turns"}:
            raise ValueError(f"{path}: holds {sorted(held)}, but a saved conversation holds memory and turns")
        try:
            check_memory(held["memory"], model.config, 1, model.config.memory.slots)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(held["memory"], int(held["turns"]))
