"""The state of one conversation: its memory, and how many interactions were written to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rxt_model.check import check_ids, check_memory, check_rows
from rxt_model.files.weights import digest_of, replacing
from rxt_model.layers.layout import pad_rows
from rxt_model.memory.fragments import Fragments
from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer

_OF_SLOTS, _OF_ALL_TURNS = ["memory", "turns"], ["fragments", "memory", "turns"]  # tensors of the two kinds of states
_MODEL = "model"  # key in the file's metadata for the digest of the weights


class OtherKindError(ValueError):
    """A saved state has fragments, and the model keeps none, or the other way round."""


def remember(model: ReactiveTransformer, memory: Tensor, interactions: Sequence[Sequence[int]]) -> Tensor:
    """Return the memory [L, B, S, w] after one whole interaction (query and answer ids) of each conversation.

    Raises ValueError for a memory of another shape, for ids beyond the vocabulary, and for an interaction that has no
    tokens but padding or is longer than the model's `length`.
    """
    return model.write(memory, *_encoded(model, memory, interactions))


def _encoded(
    model: ReactiveTransformer, memory: Tensor, interactions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Return encoded data [L, B, T, w] and mask [B, T] of interactions that follow on memory [L, B, S, w]."""
    config = model.config
    check_rows("interactions", interactions, config, longest=config.length)
    check_memory(memory, config, len(interactions), config.memory.slots)
    ids, mask = pad_rows(interactions, config.tokens.pad)
    check_ids(ids, config.vocab_size)
    ids, mask = remembered(ids.to(memory.device), mask.to(memory.device), config)
    return model.encode(ids, mask, memory=memory), mask


@dataclass(frozen=True)
class ConversationState:
    """`memory` [L, 1, S, w]; `turns` counts writes. States never change: every write gives a new state.

    With `memory.fragments` a conversation also keeps all its interactions, `fragments`. Then `memory` stays as it is at
    the start, and `read` says what an answer reads.
    """

    memory: Tensor
    turns: int = 0
    fragments: Fragments | None = None

    @classmethod
    def new(cls, model: ReactiveTransformer, seed: int = 0) -> ConversationState:
        """Start a conversation with a random memory."""
        generator = torch.Generator(device=model.embedding.weight.device).manual_seed(seed)
        fragments = None if model.config.memory.fragments is None else Fragments.of(model)
        return cls(model.initial_memory(1, generator), fragments=fragments)

    @torch.no_grad()
    def read(self, model: ReactiveTransformer, query: Sequence[int] | None = None) -> Tensor:
        """Return the memory [L, 1, S, w] from which to answer a query. With fragments, the slots are loaded for it;
        without a query, with the newest interactions."""
        return self.memory if self.fragments is None else self.fragments.active(model, self.memory, query)

    @torch.no_grad()
    def written(self, model: ReactiveTransformer, interaction: Sequence[int]) -> ConversationState:
        """Return the state after one whole interaction (query and answer ids). Raises ValueError as `remember`."""
        if self.fragments is None:
            return replace(self, memory=remember(model, self.memory, [interaction]), turns=self.turns + 1)
        encoded, mask = _encoded(model, self.memory, [interaction])
        return replace(self, fragments=self.fragments.kept(model, encoded, mask), turns=self.turns + 1)

    def save(self, path: str | os.PathLike[str], model: ReactiveTransformer) -> None:
        """Write one safetensors file, whole or not at all. It records the digest of the weights of `model`, to which
        the memory belongs. Loading it gives the same bits."""
        tensors = {"memory": self.memory.contiguous(), "turns": torch.tensor(self.turns)}
        if self.fragments is not None:
            tensors["fragments"] = self.fragments.states.tensor
        with replacing(Path(path)) as temporary:
            save_file(tensors, temporary, metadata={_MODEL: digest_of(model.state_dict())})

    @staticmethod
    def is_in(path: str | os.PathLike[str]) -> bool:
        """Say whether a file holds a saved state, of whatever model."""
        try:
            with safe_open(path, framework="pt") as file:
                return sorted(file.keys()) in (_OF_SLOTS, _OF_ALL_TURNS)
        except (OSError, SafetensorError):
            return False

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: ReactiveTransformer) -> ConversationState:
        """Read a saved state. Raises ValueError for a damaged file, for other content, and for the memory of another
        model: the same numbers mean nothing to other weights. Raises OtherKindError for fragments where the model keeps
        none, or the other way round."""
        keeps = model.config.memory.fragments is not None
        expected, other = (_OF_ALL_TURNS, _OF_SLOTS) if keeps else (_OF_SLOTS, _OF_ALL_TURNS)
        try:
            with safe_open(path, framework="pt", device=str(model.embedding.weight.device)) as file:
                names, saved_with = sorted(file.keys()), (file.metadata() or {}).get(_MODEL)
                if names == other:
                    told = ("without", "with them") if keeps else ("with", "with slots alone")
                    raise OtherKindError(
                        f"{path}: was saved {told[0]} its turns beside the slots, and this model goes on {told[1]}"
                    )
                if names != expected:
                    listed = " and ".join([", ".join(expected[:-1]), expected[-1]])
                    kind = "that keeps all turns " if keeps else ""
                    raise ValueError(
                        f"{path}: holds {len(names)} tensors ({', '.join(names[:3])}{', …' if names[3:] else ''}), "
                        f"but a saved conversation {kind}holds {listed}"
                    )
                memory, turns = file.get_tensor("memory"), file.get_tensor("turns")
                states = file.get_tensor("fragments") if keeps else None
        except SafetensorError as error:
            raise ValueError(f"{path}: truncated or damaged ({error})") from error
        try:
            check_memory(memory, model.config, 1, model.config.memory.slots)
            fragments = None if states is None else Fragments.of(model, states)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if saved_with != (own := digest_of(model.state_dict())):
            found = f"sha256 {saved_with[:12]}…" if saved_with else "no digest"
            raise ValueError(
                f"{path}: is the memory of another model: its weights had {found}, this model has sha256 {own[:12]}…"
            )
        return cls(memory, int(turns), fragments)
