"""Learn the importance of encoder states from the decoder's attention: a state that is read is worth keeping.

The label of a state is the largest attention weight from any head at any supervised token of a later turn, times
`STRETCH`, at most 1. In the last layer it is the share that a copying head gives to the state, if there is one.
Labels and states carry no gradient, so this loss does not change what the decoder reads.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.training.objectives.base import global_count, metric
from rxt_model.copying.head import Pointers
from rxt_model.decoder import Decoder
from rxt_model.layers.attention import CrossAttention
from rxt_model.layers.layout import Layout
from rxt_model.memory.attention import MemoryAttention

STRETCH = 1.5


class Read(NamedTuple):
    """The inputs of one memory read: tokens [R, d], keys [B, kv_heads, S, head_dim], rotary angles of the tokens."""

    attention: CrossAttention
    x: Tensor
    layout: Layout
    keys: Tensor
    rope: Tensor


@contextmanager
def watched_reads(decoder: Decoder, wanted: bool = True) -> Generator[list[Read]]:
    """Collect the memory reads of a forward pass in this context, one per stateful layer, if `wanted`."""
    reads: list[Read] = []
    hooks = [layer.memory_read.register_forward_pre_hook(partial(_note, reads)) for layer in decoder.stateful if wanted]
    try:
        yield reads
    finally:
        for hook in hooks:
            hook.remove()


def _note(reads: list[Read], attention: CrossAttention, given: tuple) -> None:
    x, layout, (keys, _), _, rope = given
    reads.append(Read(attention, x, layout, keys, rope))


def importance_loss(
    write: MemoryAttention,
    states: Tensor,
    reads: list[Read],
    readable: Tensor,
    supervised: Tensor,
    counted: Tensor,
    pointers: Pointers | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the importance loss of `states` [L, B, M, w] and its metrics. It is the binary cross entropy between the
    predicted importance and the labels.

    `readable` [B, K, S + M] says what each of K turns may read: S slots, then the states. `supervised` [B * K, T - 1]
    says at which n tokens the next is predicted, and `pointers` [n] are theirs. `counted` [B, M] says which states any
    turn may read.
    """
    asking = F.pad(supervised, (0, 1))
    labels = torch.stack([_most_read(read, readable, asking) for read in reads])
    if pointers is not None:
        copied = pointers.shares.detach()[:, : readable.shape[2]].exp()
        conversation = (supervised.nonzero()[:, 0] // readable.shape[1])[:, None].expand_as(copied)
        labels[-1] = torch.zeros_like(labels[-1]).scatter_reduce(0, conversation, copied, "amax")
    labels = (STRETCH * labels[:, :, -states.shape[2] :]).clamp(max=1)
    logits = write.importance(states.detach()).float()
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    total, count = (each * counted).sum(), len(states) * counted.sum()
    return total / global_count(count), {"train/importance_loss": metric(total, count)}


@torch.no_grad()
def _most_read(read: Read, readable: Tensor, asking: Tensor) -> Tensor:
    """Return the largest weight of each slot and state, [B, S + M], over heads and `asking` tokens [B * K, T]."""
    conversations, length = len(readable), asking.shape[1]
    # move the `asking` tokens of each conversation to the front
    found, place = asking.reshape(conversations, -1).sort(dim=1, descending=True, stable=True)
    most = max(1, int(found.sum(1).max()))
    found, place = found[:, :most], place[:, :most]
    queries = read.layout.pad(read.attention.queries(read.x, read.rope)).flatten(0, 1)
    queries = queries.unflatten(0, (conversations, -1))
    row = torch.arange(conversations, device=place.device)[:, None]
    weights = read.attention.weights(queries[row, place], read.keys, readable[row, place // length])
    return (weights * found[:, None, :, None]).amax((1, 2)).float()
