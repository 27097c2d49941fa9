"""Stage `lm`: the decoder learns the next token of text, with the embedding that the encoder was trained with.

The second stage of the first design. Encoder and embedding are frozen, so that both stay what `mlm` made them. The
memory cross-attention is frozen, too, and reads slots that are nearly zero (card of RxT-Alpha Micro Encoder).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jobs.configs.training import TrainingConfig
from jobs.separate.frozen import without_reads
from jobs.stage.context import StageContext
from jobs.stage.model_input import open_reactive
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from jobs.training.recipe import MODEL, Inputs, Recipe, simple_recipe, text_rows
from rxt_model.losses import next_tokens
from rxt_model.model import ReactiveTransformer


def lm(ctx: StageContext, config: TrainingConfig) -> dict[str, float | str]:
    """Train the decoder of the upstream model on text. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: TrainingConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train the upstream model on rows of text."""
    return simple_recipe(DecoderLM(open_reactive(inputs[MODEL]), config), config, inputs["shards"], text_rows, share)


class DecoderLM(Objective[ReactiveTransformer]):
    """Trains on rows of text: input_ids and documents [B, T]. Every token after the first of its document counts."""

    def __init__(self, model: ReactiveTransformer, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        return without_reads(self.model.decoder)

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        ids, documents, model = batch["input_ids"], batch["documents"], self.model
        real = documents >= 0
        memory = model.initial_memories(context.generators(batch, "memory"))
        output = model.decode(ids, memory, mask=real, documents=documents)
        lm = next_tokens(model.decoder.head, output, ids, documents, self.config.head_z_weight)
        routing, routing_metrics = routing_loss(output.routing, self.config)
        tokens_seen = {"train/tokens": metric(real.sum(), torch.ones(()))}
        return lm.loss / global_count(lm.count) + routing, {**token_metrics(lm), **routing_metrics, **tokens_seen}
