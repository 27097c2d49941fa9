"""The Reactive Transformer: read memory, answer, write memory (arXiv 2510.03561).

    answer ~ decode(query; STM_{t-1})        STM is constant during the whole answer
    STM_t  = write(STM_{t-1}, encode(query + answer))

Memory is passed in and returned, never stored in the module. Encoder and decoder share one token embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from rxt_model.check import (
    check_documents,
    check_encoded,
    check_ids,
    check_mask,
    check_memory,
    check_padding,
    check_readable,
    check_same_documents,
    check_selected,
)
from rxt_model.config import ModelConfig
from rxt_model.copying.head import CopySource
from rxt_model.copying.marks import QueryWords, edges, mark_table, no_spelling, words
from rxt_model.decoder import Decoder, DecoderOutput, Tokens
from rxt_model.delta.layer import Drive, Recurrence
from rxt_model.delta.sequences import Sequences
from rxt_model.encoder import Encoder
from rxt_model.initialise import initialise, start_copying
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.heads import MLMHead
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import rope
from rxt_model.layers.visibility import same_document
from rxt_model.memory.attention import MemoryAttention
from rxt_model.memory.registry import WRITTEN_RMS

Built = TypeVar("Built", bound=nn.Module)


class TokenModel(nn.Module):
    """What every model with a decoder head shares: embedding, decoder, logits, and extension of a cache."""

    config: ModelConfig
    embedding: nn.Embedding
    mark_table: nn.Embedding | None
    spelling: Tensor | None
    decoder: Decoder

    def spell(self, spelling: Tensor) -> None:
        """Take the spelling of the vocabulary, [V, 6] uint8 (`copying.stems`). A model that has none knows no stems.
        One without a copying head needs none."""
        if self.spelling is not None:
            self.spelling.copy_(spelling)

    def logits(self, output: DecoderOutput) -> Tensor:
        """Return the logits [.., V] of the decoder's output at tokens [..]. With a copying head they are the
        log-probabilities of its mixture."""
        logits = self.decoder.head(output.hidden)
        return logits if output.pointers is None else output.pointers.mixed(logits)

    def extend(
        self,
        ids: Tensor,
        cache: KeyValueCache,
        memory: list[tuple[Tensor, Tensor]],
        mask: Tensor | None = None,
        source: CopySource | None = None,
        drives: list[Drive] | None = None,
    ) -> DecoderOutput:
        """Decode new ids [B, T]; the cache holds the earlier ones. `memory`, `drives` and `source` are what can be read
        and copied.

        `mask` [B, T] marks the ids to keep; None keeps all. Raises ValueError if padding does not stand on the right.
        """
        if mask is not None:
            check_mask("mask", mask, ids.shape, "as ids, and True at those that are kept")
            check_padding(mask)
        layout = Layout.of(ids.shape, mask)
        positions = layout.pack(cache.begin(ids.shape[1]))
        packed = layout.pack(ids)
        recurrence = Recurrence(Sequences.of_rows(layout, positions), drives) if drives else None
        tokens = Tokens(layout, packed, positions, self._rope(positions), cache=cache, recurrence=recurrence)
        output = self.decoder(self.embedding(packed), tokens, memory, source=source, rows=self._rows(packed))
        cache.advance(ids.shape[1] if mask is None else mask.sum(1))
        return output

    def tables(self) -> list[nn.Module]:
        """Return the modules with one row per token: the embedding, and the mark table if there is one."""
        return [self.embedding] if self.mark_table is None else [self.embedding, self.mark_table]

    def _idle_row(self, ids: Tensor) -> Tensor:
        """Return a row of padding [1, T] in place of no row [0, T]. A rank that has nothing to decode decodes it, since
        the ranks that share its layers wait for it."""
        return ids.new_full((1, ids.shape[1]), self.config.tokens.pad)

    def _rows(self, ids: Tensor) -> Tensor | None:
        """Return the rows of the mark table, of the spelling, and the edges of ids [R], [R, s + t + 3 + 6 + 3], or None
        for a model that has no such table."""
        if self.mark_table is None or self.spelling is None:
            return None
        rows, beside = self.mark_table(ids), (self.spelling[ids], edges(ids, self.config.tokens))
        return torch.cat((rows, *(part.to(rows.dtype) for part in beside)), -1)

    def _rope(self, positions: Tensor) -> Tensor:
        return rope(positions, self.config.head_dim, self.config.rope_base)

    def _tokens(self, ids: Tensor, mask: Tensor | None, documents: Tensor | None) -> Tokens:
        check_ids(ids, self.config.vocab_size, mask)
        if mask is not None:
            check_padding(mask)
        layout = Layout.of(ids.shape, mask)
        if documents is None:
            # Padding stands on the right, so the causal order alone hides it.
            positions = layout.pack(torch.arange(ids.shape[1], device=ids.device).expand_as(ids))
            packed = layout.pack(ids)
            return Tokens(layout, packed, positions, self._rope(positions))
        check_documents("documents", documents, ids.shape)
        positions = layout.pack(_positions(documents))
        visible = same_document(documents, documents, causal=True)
        packed = layout.pack(ids)
        return Tokens(layout, packed, positions, self._rope(positions), visible, documents)


class ReactiveTransformer(TokenModel):
    """The reactive model. Shapes: ids [B, T] int64; masks are boolean, True at real tokens; memory [L, B, S, w], where
    w is `config.slot_dim`: the width of a state, d, and of the mark beside it, if there is one."""

    def __init__(self, config: ModelConfig, mlm_head: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.mark_table = mark_table(config, config.vocab_size)
        self.register_buffer("spelling", no_spelling(config, config.vocab_size))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, config.vocab_size)
        self.memory_attention = MemoryAttention(config)
        self.mlm_head = MLMHead(config) if mlm_head else None
        initialise(self, config.initial_layers + config.stateful_layers + config.final_layers)
        self.memory_attention.start()
        if config.copy_start:
            start_copying(self.embedding, self.decoder)

    def initial_memory(self, batch: int, generator: torch.Generator | None = None, slots: int | None = None) -> Tensor:
        """Return random slots N(0, init_std^2), [L, batch, S, w], in the dtype of the weights. S is `slots`, by default
        that of the config.

        Equal slots would stay equal for ever.
        """
        c = self.config
        shape = (c.stateful_layers, batch, c.memory.slots if slots is None else slots, c.slot_dim)
        weight = self.embedding.weight
        device = weight.device if generator is None else generator.device
        return torch.randn(shape, generator=generator, device=device).to(weight) * c.memory.init_std

    def initial_memories(self, generators: Sequence[torch.Generator], slots: int | None = None) -> Tensor:
        """Return the random memory of conversations [L, B, S, w], each from a generator of its own."""
        if not generators:
            return self.initial_memory(0, slots=slots)
        return torch.cat([self.initial_memory(1, generator, slots) for generator in generators], 1)

    def encode(
        self, ids: Tensor, mask: Tensor, documents: Tensor | None = None, memory: Tensor | None = None
    ) -> Tensor:
        """Return encoded data [L, B, T, w], zero at padding. With `documents` [B, T] tokens see only their own
        document.

        Encoders with `encoder_memory_attention` need `memory` [L, B, S, w], as it is before the write. Raises
        ValueError for ids beyond the vocabulary, for a mask or documents of another shape, and, without `documents`,
        for padding that does not stand on the right.

        Here, in `write` and in `decode` a row may consist of padding, since conversations of a batch may differ in
        their number of turns. But a user's query or interaction must have tokens (`Decoding`, `remember`).
        """
        check_ids(ids, self.config.vocab_size, mask)
        if documents is None:
            check_padding(mask)
            documents = mask.long() - 1
        check_documents("documents", documents, ids.shape)
        layout = Layout.of(ids.shape, mask)
        positions = layout.pack(_positions(documents))
        visible = same_document(documents, documents)
        packed = layout.pack(ids)
        x, rows = self.embedding(packed), self._rows(packed)
        return self.encoder(x, positions, self._rope(positions), layout, visible, documents, memory, rows)

    def write(self, memory: Tensor, encoded: Tensor, mask: Tensor) -> Tensor:
        """Return STM_t from STM_{t-1} and the encoded data [L, B, T, w] of the interaction, with mask [B, T].

        A row that is all padding keeps its memory. A write that selects takes any number of slots. Raises ValueError
        for other shapes and for padding that does not stand on the right.
        """
        projected = self.project(encoded, mask)
        slots = None if self.memory_attention.selects else self.config.memory.slots
        check_memory(memory, self.config, mask.shape[0], slots)
        return self.memory_attention(memory, projected, mask)

    def project(self, encoded: Tensor, mask: Tensor) -> Tensor:
        """Return what the memory attention takes from interactions alone, [L, B, T, P], for any number of them at once.
        Raises ValueError as `write` does."""
        check_encoded(encoded, mask, self.config)
        positions = torch.arange(mask.shape[1], device=mask.device)
        return self.memory_attention.project(encoded, self._rope(positions), mask)

    def decode(
        self,
        ids: Tensor,
        memory: Tensor,
        *,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        documents: Tensor | None = None,
        memory_documents: Tensor | None = None,
        memory_ids: Tensor | None = None,
        selected: Tensor | None = None,
    ) -> DecoderOutput:
        """Run the decoder over known ids (teacher forcing). `selected` [B, T - 1] says at which tokens the output is
        wanted (None: at every token). Pointers are computed for these alone.

        `memory` [L, B, M, w] may hold slots or raw encoder states. With fewer rows, [L, B / N, M, w], each row serves N
        consecutive rows of ids. `mask` [B, T] marks real tokens, with padding on the right. `memory_mask` [B, M] marks
        what may be read. `documents` [B, T] confines self-attention to a token's own document (-1: padding). Beside it
        `memory_documents` [B, M], instead of `memory_mask`, confines reading the memory in the same way.

        A copying head copies the tokens `memory_ids` of raw states, of the same rows as `memory` and -1 where there is
        none. Without them it copies those that slots hold; and nothing from memory beside `memory_documents`.

        Raises ValueError for ids beyond the vocabulary, for other shapes or types, for padding elsewhere, and for a row
        that may read nothing.
        """
        check_selected(selected, ids)
        if not len(ids):
            row, held = self._idle_row(ids), memory.new_zeros(memory.shape[0], 1, *memory.shape[2:])
            hidden, nothing = torch.zeros_like(row, dtype=torch.bool), nothing_of(selected)
            return self.decode(row, held, mask=hidden, selected=nothing).of_no_rows()
        tokens = self._tokens(ids, mask, documents)
        check_memory(memory, self.config, ids.shape[0], shared=memory_documents is None)
        visible, readable = None, (ids.shape[0], memory.shape[2])
        if memory_documents is not None:
            if documents is None:
                raise ValueError(
                    "memory_documents without documents: must be given together, since their numbers are compared"
                )
            if memory_mask is not None:
                raise ValueError(
                    "memory_mask with memory_documents: must be only one of them, since each says what is read"
                )
            check_documents("memory_documents", memory_documents, readable)
            visible = same_document(documents, memory_documents)
        elif memory_mask is not None:
            check_readable(memory_mask, readable)
            visible = memory_mask[:, None, None, :]
        source = None if memory_documents is not None else self.source(memory, memory_ids, memory_mask)
        tokens = tokens._replace(recurrence=self._recurrence(tokens, memory, memory_mask, memory_documents))
        x = self.embedding(tokens.ids)
        read, rows = self.decoder.read_projections(memory), self._rows(tokens.ids)
        return self.decoder(x, tokens, read, visible, source, rows, selected)

    def _recurrence(
        self, tokens: Tokens, memory: Tensor, mask: Tensor | None, memory_documents: Tensor | None
    ) -> Recurrence | None:
        """Return the sequences of the tokens, and what memory tells the Gated DeltaNet of each, if there is one."""
        if self.config.delta is None:
            return None
        sequences = Sequences.of_documents(tokens.layout, tokens.positions)
        if memory_documents is None:
            if mask is None:
                sequences = sequences._replace(source=sequences.rows // (tokens.layout.rows // memory.shape[1]))
            return Recurrence(sequences, self.decoder.drives(memory, mask))
        check_same_documents(tokens.documents, memory_documents)
        sequences = sequences._replace(source=torch.arange(len(sequences.rows), device=memory.device))
        return Recurrence(sequences, self.decoder.drives_of_documents(memory, tokens.layout, sequences))

    def query_words(self, ids: Tensor) -> QueryWords:
        """Return the words of one query in each row of ids [B, T] without padding. Only for a model with a copying
        head."""
        rows = self._rows(ids)
        assert rows is not None, "only a model with a copying head knows words"
        return words(rows[..., self.config.signature_dim :], ids == self.config.tokens.bos)

    def slot_ids(self, memory: Tensor) -> Tensor | None:
        """Return the token that each slot of the last layer holds, [B, S], and -1 for slots that were never written.
        Return None for a model without a copying head, whose slots have no names."""
        names = self.decoder.slot_tokens
        if names is None:
            return None
        slots = memory[-1].detach()
        written = slots.float().square().mean(-1).sqrt() >= WRITTEN_RMS
        ids = torch.full(written.shape, -1, device=slots.device)
        ids[written] = names.named(slots[written], self.embedding.weight)
        return ids

    def source(self, memory: Tensor, ids: Tensor | None = None, mask: Tensor | None = None) -> CopySource | None:
        """Return what a copying head can copy from memory [L, B, M, w]: tokens `ids` [B, M] (None: `slot_ids`), except
        those that are -1 or masked. Return None for a model without a copying head."""
        if self.decoder.slot_tokens is None:
            return None
        ids = self.slot_ids(memory) if ids is None else ids
        assert ids is not None
        usable = ids >= 0
        if mask is not None:
            usable = mask & usable.repeat_interleave(len(mask) // len(usable), 0)
        return self.decoder.source(memory[-1], ids.clamp(min=0), usable)


def _positions(documents: Tensor) -> Tensor:
    """Return positions that restart with every document: [B, T]."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(starts, index, 0).cummax(1).values


def nothing_of(selected: Tensor | None) -> Tensor | None:
    """Return selected tokens [0, T - 1] of no row as those of one row, of which none is selected."""
    return None if selected is None else selected.new_zeros(1, selected.shape[1])


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Build a module whose fresh weights depend on `seed` alone. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
