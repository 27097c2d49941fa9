"""The decoder: stateless layers, then stateful layers that read short-term memory, then stateless layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.copying.head import Copying, CopySource, Pointers, SlotTokens
from rxt_model.copying.matching import Matching
from rxt_model.copying.places import Places
from rxt_model.delta.layer import Drive, GatedDelta, MemoryDrive, Recurrence
from rxt_model.delta.sequences import Sequences
from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import Layers, Neighbours, SwiGLU, norm
from rxt_model.moe.layer import MoELayer, Routing

if TYPE_CHECKING:  # slow to import, and only needed on a GPU
    from torch.nn.attention.flex_attention import BlockMask


class Tokens(NamedTuple):
    """Describes the tokens of a batch. `layout` says which are real. These have `ids` [R], `positions` [R] and rotary
    angles `rope` [R, head_dim / 2]. `mask` is for self-attention (None: plain causal). It comes from the numbers of
    `documents` [B, T], if tokens have any. `cache` is set during generation, `recurrence` for a model with a Gated
    DeltaNet."""

    layout: Layout
    ids: Tensor
    positions: Tensor
    rope: Tensor
    mask: Tensor | BlockMask | None = None
    documents: Tensor | None = None
    cache: KeyValueCache | None = None
    recurrence: Recurrence | None = None


class DecoderLayer(nn.Module):
    """A pre-norm layer: causal self-attention, memory read (if stateful), dense or mixture-of-experts feed-forward.

    In a model with a Gated DeltaNet, this takes the place of the self-attention of stateful layers."""

    def __init__(self, config: Architecture, *, stateful: bool, dense: bool) -> None:
        super().__init__()
        self.attention_norm = norm(config.dim, config.norm_eps)
        if stateful and config.delta is not None:
            self.attention: SelfAttention | GatedDelta = GatedDelta(
                config.dim, config.head_dim, config.delta, config.norm_eps
            )
            self.memory_drive = MemoryDrive(config.dim, config.head_dim, config.delta)
        else:
            self.attention = SelfAttention(config.dim, config.head_dim, config.decoder_attention, config.norm_eps)
        if stateful:
            self.memory_query_norm = norm(config.dim, config.norm_eps)
            self.memory_norm = norm(config.dim, config.norm_eps)
            self.memory_read = CrossAttention(config.dim, config.head_dim, config.cross_attention, config.norm_eps)
        self.feed_forward_norm = norm(config.dim, config.norm_eps)
        self.feed_forward = SwiGLU(config.dim, config.dense_dim) if dense else MoELayer(config.dim, config.moe)

    def forward(
        self,
        x: Tensor,
        tokens: Tokens,
        memory: tuple[Tensor, Tensor] | None,
        memory_mask: Tensor | BlockMask | None,
        drive: Drive | None = None,
    ) -> tuple[Tensor, Routing | None]:
        """Map real tokens x [R, d] to [R, d], and return the load of the experts, or None for a dense layer."""
        x = x + self._self_attention(self.attention_norm(x), tokens, drive)
        if memory is not None:
            x = x + self.memory_read(self.memory_query_norm(x), tokens.layout, memory, memory_mask, tokens.rope)
        normed = self.feed_forward_norm(x)
        if isinstance(self.feed_forward, MoELayer):
            update, routing = self.feed_forward(normed)
            return x + update, routing
        return x + self.feed_forward(normed), None

    def _self_attention(self, x: Tensor, tokens: Tokens, drive: Drive | None) -> Tensor:
        if isinstance(self.attention, SelfAttention):
            return self.attention(x, tokens.rope, tokens.layout, tokens.mask, causal=True, cache=tokens.cache)
        assert tokens.recurrence is not None and drive is not None
        return self.attention(x, tokens.layout, tokens.recurrence.sequences, drive, tokens.cache)


class DecoderOutput(NamedTuple):
    """`hidden` [B, T, d] is the output of the head norm, zero at padding, or [n, d] if only n tokens were selected.
    `routing` has an entry per expert layer. A decoder that copies also returns the `pointers` of these tokens, and how
    well the interactions of memory or, without memory, of the history match all tokens [B, T], `matched`
    (`matching.Matches`)."""

    hidden: Tensor
    routing: list[Routing]
    pointers: Pointers | None = None
    matched: Tensor | None = None

    def at(self, *place: Tensor | slice | int) -> DecoderOutput:
        """Return the output at some places of [B, T], or of n if n tokens were selected. `matched` is always [B, T]."""
        pointers = None if self.pointers is None else self.pointers.at(place)
        matched = None if self.matched is None else self.matched[place]
        return self._replace(hidden=self.hidden[place], pointers=pointers, matched=matched)

    def of_no_rows(self) -> DecoderOutput:
        """Return the output of no rows [0, T], or of no selected token, from that of one row."""
        matched = None if self.matched is None else self.matched[:0]
        output = self._replace(matched=None) if self.hidden.dim() == 2 else self.at(slice(0, 0))
        return output._replace(matched=matched)


class Decoder(nn.Module):
    """The first initial layer is dense. Every other layer is a mixture of experts.

    With `stateful=False` the middle layers read no memory. The stateless baseline uses this.
    """

    def __init__(self, config: Architecture, vocab_size: int, *, stateful: bool = True) -> None:
        super().__init__()
        offsets = config.decoder_neighbours
        self.neighbours = Neighbours(config.dim, offsets) if offsets else None
        self.initial = Layers[DecoderLayer](
            DecoderLayer(config, stateful=False, dense=i == 0) for i in range(config.initial_layers)
        )
        self.stateful = Layers[DecoderLayer](
            DecoderLayer(config, stateful=stateful, dense=False) for _ in range(config.stateful_layers)
        )
        self.final = Layers[DecoderLayer](
            DecoderLayer(config, stateful=False, dense=False) for _ in range(config.final_layers)
        )
        make_norm = nn.LayerNorm if config.head_norm == "layer" else nn.RMSNorm
        self.norm = make_norm(config.dim, eps=config.norm_eps)
        self.head = nn.Linear(config.dim, vocab_size)
        self.copying = Copying(config) if config.copying else None
        self.matching = Matching(config, stateful=stateful) if config.copying else None
        self.dim = config.dim
        self.slot_tokens = SlotTokens(config) if config.copying and stateful else None

    def read_projections(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the keys and values of every stateful layer from memory [L, B, S, w]. They stay valid for a whole
        answer."""
        return [
            layer.memory_read.keys_values(layer.memory_norm(slots[..., : self.dim]))
            for layer, slots in zip(self.stateful, memory.unbind(0), strict=True)
        ]

    def drives(self, memory: Tensor, mask: Tensor | None = None) -> list[Drive]:
        """Return what memory [L, B, S, w] tells the Gated DeltaNet of each stateful layer (none without one). They stay
        valid for a whole answer. `mask` says what each row may read (`MemoryDrive`)."""
        return [
            layer.memory_drive(layer.memory_norm(slots[..., : self.dim]), mask)
            for layer, slots in zip(self.stateful, memory.unbind(0), strict=True)
            if isinstance(layer.attention, GatedDelta)
        ]

    def drives_of_documents(self, memory: Tensor, layout: Layout, sequences: Sequences) -> list[Drive]:
        """Return the same of documents, from the states [L, B, T, w] of their own tokens."""
        return [
            layer.memory_drive.of_documents(layer.memory_norm(layout.pack(states[..., : self.dim])), sequences)
            for layer, states in zip(self.stateful, memory.unbind(0), strict=True)
        ]

    def source(self, states: Tensor, ids: Tensor, usable: Tensor) -> CopySource | None:
        """Return what can be copied from slots or states [G, M, slot_dim] that hold the tokens `ids` [G, M]. `usable`
        [G or B, M] says which. Return None for a decoder that copies nothing from memory."""
        if self.slot_tokens is None or self.matching is None:
            return None
        marks = states[..., self.dim :]
        return CopySource(self.slot_tokens.keys(states), ids, marks, usable, self.matching.links(ids, marks, usable))

    def forward(
        self,
        x: Tensor,
        tokens: Tokens,
        memory: list[tuple[Tensor, Tensor]],
        memory_mask: Tensor | BlockMask | None = None,
        source: CopySource | None = None,
        rows: Tensor | None = None,
        selected: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode embedded real tokens x [R, d]. `memory` comes from `read_projections` and is empty for a stateless
        decoder; `memory_mask` broadcasts to [B, 1, T, S]. `source` is what can be copied from memory. `selected`
        [B, T - 1] says at which tokens the output is wanted (None: at every token)."""
        x, matches = self._with_neighbours(x, tokens), None
        layout = tokens.layout
        places = Places.of((layout.rows, layout.length), selected, x.device)
        if self.matching is not None and rows is not None:
            matches = self.matching(rows, tokens, source, places)
            if matches.matched is not None:
                x = x + layout.pack(self.matching.evidence(matches.matched))
        routing: list[Routing] = []
        middle: list[tuple[Tensor, Tensor] | None] = [*memory] or [None] * len(self.stateful)
        drives = [None] * len(middle) if tokens.recurrence is None else tokens.recurrence.drives
        before, after = [None] * len(self.initial), [None] * len(self.final)
        reads, drives = [*before, *middle, *after], [*before, *drives, *after]
        for layer, read, drive in zip([*self.initial, *self.stateful, *self.final], reads, drives, strict=True):
            x, load = layer(x, tokens, read, memory_mask, drive)
            if load is not None:
                routing.append(load)
        hidden = self.norm(x)
        padded = layout.pad(hidden)
        wanted = padded if selected is None else places.take(padded)
        if self.copying is None or matches is None:
            return DecoderOutput(wanted, routing)
        pointers = self.copying(hidden, tokens, matches, source, places)
        if selected is None:
            pointers = Pointers(*(part.unflatten(0, padded.shape[:2]) for part in pointers))
        return DecoderOutput(wanted, routing, pointers, matches.matched)

    def _with_neighbours(self, x: Tensor, tokens: Tokens) -> Tensor:
        if self.neighbours is None:
            return x
        if tokens.cache is None:
            return self.neighbours(x, tokens.positions)
        return self.neighbours.extend(x, tokens.layout, tokens.cache)
