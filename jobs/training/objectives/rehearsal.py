"""Train on text beside conversations. A model trained on conversations alone forgets plain text.

The perplexity on held-out text shows this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jobs.configs.training import BaselineConfig, ConversationTrainingConfig
from jobs.stage.inputs import open_reader
from jobs.training.batching.batches import Batch, beside, text_beside
from jobs.training.batching.reader import Share, batch_reader
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from jobs.training.recipe import Inputs, Recipe, text_rows, validation_batch
from rxt_model.baseline import StatelessDecoder
from rxt_model.losses import next_tokens
from rxt_model.model import ReactiveTransformer


class Rehearsal(Objective[ReactiveTransformer | StatelessDecoder]):
    """Adds `text_weight` times the next-token loss of a text batch to another objective. The text batch is the one that
    `batches.beside` added, if any.

    On text, a reactive model reads its random start memory. The two losses are separate means. In one common mean the
    conversations would count for little, as all tokens of text are supervised, but only the answers of conversations.
    """

    def __init__(
        self,
        objective: Objective[ReactiveTransformer] | Objective[StatelessDecoder],
        config: ConversationTrainingConfig | BaselineConfig,
    ) -> None:
        super().__init__()
        self.objective, self.config = objective, config

    @property  # an attribute would give each weight a second name
    def model(self) -> ReactiveTransformer | StatelessDecoder:  # pyrefly: ignore[bad-override]
        return self.objective.model

    def trained(self, step: int) -> list[nn.Module]:
        return self.objective.trained(step)

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.objective(batch, context)
        text = text_beside(batch)
        if not text:
            return loss, metrics
        model, ids, documents = self.model, text["input_ids"], text["documents"]
        real = documents >= 0
        if isinstance(model, ReactiveTransformer):
            memory = model.initial_memories(
                context.generators(text, "text-memory"), model.config.memory.slots_in_training
            )
            output = model.decode(ids, memory, mask=real, documents=documents)
        else:
            output = model.decode(ids, mask=real, documents=documents)
        lm = next_tokens(model.decoder.head, output, ids, documents, self.config.head_z_weight)
        routing, routing_metrics = routing_loss(output.routing, self.config)
        # add the metrics of both passes, so that the loop logs the mean of the two
        both = {name: metrics[name] + pair for name, pair in routing_metrics.items()}
        return loss + self.config.text_weight * lm.loss / global_count(lm.count) + routing, {
            **metrics,
            **both,
            **token_metrics(lm, "text_"),
            "train/tokens": metrics["train/tokens"] + metric(real.sum(), torch.zeros(())),
        }


def with_text(
    recipe: Recipe, config: ConversationTrainingConfig | BaselineConfig, inputs: Inputs, share: Share
) -> Recipe:
    """Add rows of text to the batches and the loss of a recipe, if `config` asks for any."""
    size = config.text_batch_size
    if not size:
        return recipe
    text_at = batch_reader(open_reader(inputs["text"], "train"), config.seed, size, text_rows, share)
    held_out = validation_batch(inputs["text"], size, text_rows, share, config.steps - 1)

    def batch_at(step: int) -> Batch:
        batch = recipe.batch_at(step)
        return batch if step % config.text_every else beside(batch, text_at(step // config.text_every))

    return Recipe(
        Rehearsal(recipe.objective, config),
        batch_at,
        beside(recipe.validation, held_out) if recipe.validation and held_out else recipe.validation,
    )
