"""The baseline: a decoder of the same layers without memory, widened to the same number of active parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rxt_model.check import check_selected
from rxt_model.config import ModelConfig
from rxt_model.copying.marks import mark_table, no_spelling
from rxt_model.decoder import Decoder, DecoderOutput
from rxt_model.initialise import initialise, start_copying
from rxt_model.model import ReactiveTransformer, TokenModel, nothing_of
from rxt_model.size import active_parameters


class StatelessDecoder(TokenModel):
    """A decoder without memory. It sees earlier turns only if they are in its window."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.mark_table = mark_table(config, config.vocab_size)
        self.register_buffer("spelling", no_spelling(config, config.vocab_size))
        self.decoder = Decoder(config, config.vocab_size, stateful=False)
        initialise(self, config.initial_layers + config.stateful_layers + config.final_layers)
        if config.copy_start:
            start_copying(self.embedding, self.decoder)

    def decode(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        documents: Tensor | None = None,
        selected: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode ids [B, T] with teacher forcing. The other arguments are as in `ReactiveTransformer.decode`."""
        check_selected(selected, ids)
        if not len(ids):
            row = self._idle_row(ids)
            hidden, nothing = torch.zeros_like(row, dtype=torch.bool), nothing_of(selected)
            return self.decode(row, mask=hidden, selected=nothing).of_no_rows()
        tokens = self._tokens(ids, mask, documents)
        return self.decoder(self.embedding(tokens.ids), tokens, [], rows=self._rows(tokens.ids), selected=selected)


def matching_config(config: ModelConfig) -> ModelConfig:
    """Return the baseline's config. First the baseline gets the options of the reactive model that a causal decoder can
    have: at least as many self-attention heads as the memory read, and the encoder's neighbours at positive distances.
    All its layers have self-attention, as nothing drives a Gated DeltaNet without memory. Then its feed-forward widths
    grow in steps of 4 until it has as many active parameters as the reactive model's decoder, encoder and memory
    attention together."""
    config, own = _equipped(config), config
    with torch.device("meta"):
        target = active_parameters(ReactiveTransformer(own, mlm_head=False))
        smallest, next_one = (active_parameters(StatelessDecoder(_widened(config, steps))) for steps in (0, 1))
    # every step adds the same number of parameters
    return _widened(config, max(0, -(-(target - smallest) // (next_one - smallest))))


def _equipped(config: ModelConfig) -> ModelConfig:
    own, read = config.decoder_attention, config.cross_attention
    if read.query_heads > own.query_heads:
        own = replace(own, query_heads=read.query_heads, kv_heads=read.kv_heads)
    earlier = {k for k in config.encoder_neighbours if k > 0} | set(config.decoder_neighbours)
    return replace(config, decoder_attention=own, decoder_neighbours=tuple(sorted(earlier)), delta=None)


def _widened(config: ModelConfig, steps: int) -> ModelConfig:
    grown, moe = 4 * steps, config.moe
    shared = moe.shared_dim + grown if moe.shared_experts else 0
    moe = replace(moe, expert_dim=moe.expert_dim + grown, shared_dim=shared)
    return replace(config, dense_dim=config.dense_dim + grown, moe=moe)
