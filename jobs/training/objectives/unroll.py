"""The memories that the turns of conversations read, with gradients through memory writes and encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer

MemoryWriter = Callable[[Tensor, int], Tensor]


class Unrolled(NamedTuple):
    """`memories` [L, B, N, S, d] are what each turn reads. `states` [rows, T, d] are the encoder states of the last
    layer, of the interactions that are there (`rxt_model.memory.thoughts`)."""

    memories: Tensor
    states: Tensor


def unroll(model: ReactiveTransformer, ids: Tensor, present: Tensor, start: Tensor, horizon: int | None) -> Unrolled:
    """Write the interactions ids [B, N, T] of conversations, of which `present` [B, N] are there, into the memories
    `start` [L, B, S, w].

    With a horizon k, the memory of turn t is written again from the detached memory k writes earlier. So what turn t
    reads depends on exactly the writes t - k .. t - 1 (None: on all).
    """
    ids, real = remembered(ids, ids != model.config.tokens.pad, model.config)
    if model.encoder.reads_memory:
        return _in_order(model, ids, present, start, horizon)
    rows = present.flatten().nonzero().squeeze(1)
    flat_real = real.flatten(0, 1)[rows]
    states = model.encode(ids.flatten(0, 1)[rows], flat_real)
    written = model.project(states, flat_real)
    written = written.new_zeros(written.shape[0], present.numel(), *written.shape[2:]).index_copy(1, rows, written)
    # unbind gives one gradient node for all turns; indexing would allocate a whole gradient for each turn
    taken, masks = written.unflatten(1, present.shape).unbind(2), real.unbind(1)
    memories = _memories(start, len(masks), horizon, lambda held, n: model.memory_attention(held, taken[n], masks[n]))
    return Unrolled(memories, states[-1])


def _in_order(model: ReactiveTransformer, ids: Tensor, present: Tensor, start: Tensor, horizon: int | None) -> Unrolled:
    """An encoder that reads memory encodes an interaction with the memory that it is written to."""
    states: dict[int, Tensor] = {}
    turns, masks = ids.unbind(1), (ids != model.config.tokens.pad).unbind(1)

    def encoded(held: Tensor, turn: int) -> Tensor:
        found = model.encode(turns[turn], masks[turn], memory=held)
        states[turn] = found[-1]
        return found

    memories = _memories(start, len(turns), horizon, lambda held, n: model.write(held, encoded(held, n), masks[n]))
    encoded(memories[:, :, -1], len(turns) - 1)
    return Unrolled(memories, torch.stack([states[turn] for turn in range(len(turns))], 1)[present])


def _memories(start: Tensor, turns: int, horizon: int | None, write: MemoryWriter) -> Tensor:
    memories = [start]
    if horizon is None or horizon >= turns - 1:
        for turn in range(turns - 1):
            memories.append(write(memories[-1], turn))
        return torch.stack(memories, 2)
    values = [start.detach()]
    for turn in range(1, turns):
        held = values[max(0, turn - horizon)]
        for earlier in range(max(0, turn - horizon), turn):
            held = write(held, earlier)
        memories.append(held)
        values.append(held.detach())
    return torch.stack(memories, 2)
