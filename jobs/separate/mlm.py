"""Stage `mlm`: the encoder of a new model learns masked language modelling, before there is anything to remember.

It is the first stage of the first design: encoder and decoder are trained apart, with one embedding. The memory
cross-attention of the encoder is frozen, and reads slots that are nearly zero (card of RxT-Alpha Micro Encoder).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jobs.configs.training import MlmConfig
from jobs.separate.frozen import without_reads
from jobs.stage.context import StageContext
from jobs.stage.inputs import open_index
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from jobs.training.recipe import Inputs, Recipe, simple_recipe, spelled, text_rows
from rxt_model.losses import cross_entropy
from rxt_model.model import ReactiveTransformer, seeded


def mlm(ctx: StageContext, config: MlmConfig) -> dict[str, float | str]:
    """Train the encoder of a new model on masked tokens. Writes `model/`, whose other parts are as they began."""
    return fit(ctx, config, recipe)


def recipe(config: MlmConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train a new model, whose weights depend on the seed alone, on rows of text."""
    index = open_index(inputs["shards"])
    shape = config.model.with_vocabulary(index.vocab_size, index.tokenizer_digest)
    model = spelled(seeded(lambda: ReactiveTransformer(shape), config.seed), inputs)
    return simple_recipe(MaskedLM(model, config), config, inputs["shards"], text_rows, share)


class MaskedLM(Objective[ReactiveTransformer]):
    """Trains on rows of text: input_ids and documents [B, T]. Control tokens are never masked."""

    def __init__(self, model: ReactiveTransformer, config: MlmConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        assert self.model.mlm_head is not None
        return [self.model.embedding, *without_reads(self.model.encoder), self.model.mlm_head]

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        ids, documents, model = batch["input_ids"], batch["documents"], self.model
        tokens, real = model.config.tokens, documents >= 0
        chance = context.draw(torch.rand, batch, "mlm", ids.shape[1])
        masked = (chance < self.config.mlm_probability) & (ids > tokens.highest)
        memory = model.initial_memories(context.generators(batch, "memory")) if model.encoder.reads_memory else None
        encoded = model.encode(ids.masked_fill(masked, tokens.mask), real, documents, memory)
        assert model.mlm_head is not None
        found = cross_entropy(model.mlm_head, encoded[-1], ids, masked)
        tokens_seen = {"train/tokens": metric(real.sum(), torch.ones(()))}
        return found.loss / global_count(found.count), {**token_metrics(found), **tokens_seen}
