"""The memory encoder turns a finished interaction into one tensor of encoded data per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.copying.marks import marks
from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import Layers, Neighbours, SwiGLU, norm

if TYPE_CHECKING:  # slow to import, and only needed on a GPU
    from torch.nn.attention.flex_attention import BlockMask


class EncoderLayer(nn.Module):
    """A pre-norm layer: bidirectional self-attention, memory read (only first Alpha encoders), dense feed-forward."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        reader = config.encoder_memory_attention
        self.attention_norm = norm(config.dim, config.norm_eps)
        self.attention = SelfAttention(config.dim, config.head_dim, config.encoder_attention, config.norm_eps)
        if reader is not None:
            self.memory_query_norm = norm(config.dim, config.norm_eps)
            self.memory_norm = norm(config.dim, config.norm_eps)
            self.memory_read = CrossAttention(config.dim, config.head_dim, reader, config.norm_eps)
        self.feed_forward_norm = norm(config.dim, config.norm_eps)
        self.feed_forward = SwiGLU(config.dim, config.encoder_dim)

    def forward(
        self, x: Tensor, rope: Tensor, layout: Layout, mask: Tensor | BlockMask, memory: Tensor | None
    ) -> Tensor:
        """Map real tokens x [R, d] to [R, d]. `memory` [B, S, d] is this layer's memory, or None if it reads none."""
        x = x + self.attention(self.attention_norm(x), rope, layout, mask)
        if memory is not None:
            keys_values = self.memory_read.keys_values(self.memory_norm(memory))
            x = x + self.memory_read(self.memory_query_norm(x), layout, keys_values, rope=rope)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Encoder(nn.Module):
    """Bidirectional layers, one per stateful decoder layer. There is no final norm: a layer's encoded data is the
    residual stream after it."""

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.reads_memory = config.encoder_memory_attention is not None
        offsets = config.encoder_neighbours
        self.neighbours = Neighbours(config.dim, offsets) if offsets else None
        self.dim, self.signature_dim = config.dim, config.signature_dim
        self.layers = Layers[EncoderLayer](EncoderLayer(config) for _ in range(config.stateful_layers))

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        rope: Tensor,
        layout: Layout,
        mask: Tensor | BlockMask,
        documents: Tensor,
        memory: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Encode embedded real tokens x [R, d] to [L, B, T, w], zero at padding.

        `positions` [R] count within each interaction or document. `rope` is [R, head_dim / 2]. `mask` broadcasts to
        [B, 1, T, T] and comes from the numbers of `documents` [B, T]. `rows` [R, s + t + 3 + 6 + 3] are those of the
        tokens (`copying.marks`), if the model has any; then the mark of each token follows its state, and w is
        `slot_dim`. An encoder without memory attention ignores `memory` [L, B, S, w]; one with it raises ValueError if
        `memory` is None.
        """
        if self.reads_memory and memory is None:
            raise ValueError(
                "memory = None: an encoder with encoder_memory_attention reads the memory before the write"
            )
        slots = (
            [None] * len(self.layers) if memory is None or not self.reads_memory else memory[..., : self.dim].unbind(0)
        )
        if self.neighbours is not None:
            x = self.neighbours(x, positions)
        outputs = []
        for layer, read in zip(self.layers, slots, strict=True):
            x = layer(x, rope, layout, mask, read)
            outputs.append(x)
        states = layout.pad(torch.stack(outputs, 1)).movedim(2, 0)
        if rows is None:
            return states
        beside = marks(layout.pad(rows), layout.pad(positions), documents, self.signature_dim)
        return torch.cat((states, beside.to(states.dtype).expand(len(states), -1, -1, -1)), -1)
