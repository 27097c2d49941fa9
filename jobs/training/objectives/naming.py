"""Teach a copying head which token a slot holds. A slot of a selective write is the encoder state of one token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.training.batching.batches import Batch
from jobs.training.objectives.base import StepContext, global_count, metric
from rxt_model.model import ReactiveTransformer

STATES = 32  # states of each conversation that are named in a step; more would teach little more


def naming_loss(
    model: ReactiveTransformer, states: Tensor, ids: Tensor, row: Tensor, batch: Batch, context: StepContext
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean cross entropy of naming the tokens ids [N] from their encoder states [N, w] of the last layer,
    and its metrics. `row` [N] is the row of `batch` that each is from, in order. Of each row a random part is named.
    Without a copying head the loss is 0."""
    slot_tokens = model.decoder.slot_tokens
    if slot_tokens is None:
        return states.new_zeros(()), {}
    size = torch.bincount(row, minlength=len(batch["input_ids"]))[:, None]
    drawn = (context.draw(torch.rand, batch, "naming", STATES) * size).long()
    chosen = (size.cumsum(0) - size + drawn)[size[:, 0] > 0].flatten()
    logits, labels = slot_tokens.names(states[chosen], model.embedding.weight).float(), ids[chosen]
    total, count = F.cross_entropy(logits, labels, reduction="sum"), torch.tensor(float(len(chosen)), device=ids.device)
    right = (logits.argmax(-1) == labels).sum()
    metrics = {"train/naming_loss": metric(total, count), "train/naming_accuracy": metric(right, count)}
    return total / global_count(count), metrics
