"""Stage `baseline` trains next-token prediction on text, interactions and whole conversations."""

from __future__ import annotations

import torch
from torch import Tensor

from jobs.configs.training import OptimisationConfig
from jobs.training.batching.batches import NOT_ASKED, TOLD
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from jobs.training.objectives.matching import matching_loss
from rxt_model.baseline import StatelessDecoder
from rxt_model.losses import following, goes_on


class NextToken(Objective[StatelessDecoder]):
    """Trains on input_ids [B, T] with `documents` (packed text, all tokens supervised) or `loss_mask` (answers).
    With `told` [B, T] it also teaches which interaction a question matches."""

    def __init__(self, model: StatelessDecoder, config: OptimisationConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        ids = batch["input_ids"]
        real = ids != self.model.config.tokens.pad
        documents = batch.get("documents")
        supervised = batch["loss_mask"][:, 1:] if documents is None else goes_on(documents)
        output = self.model.decode(ids, mask=real, documents=documents, selected=supervised)
        lm = following(self.model.decoder.head, output, ids, supervised, self.config.head_z_weight)
        routing, routing_metrics = routing_loss(output.routing, self.config)
        loss, metrics = lm.loss / global_count(lm.count) + routing, {**token_metrics(lm), **routing_metrics}
        if output.matched is not None and TOLD in batch:
            row, column = (batch[TOLD] > NOT_ASKED).nonzero(as_tuple=True)
            turn_of = (ids == self.model.config.tokens.bos).cumsum(1) - 1
            turns = int(turn_of.max()) + 1
            scores, told = output.matched[row, column], batch[TOLD][row, column]
            matching, matched = matching_loss(scores, turn_of.clamp(min=0)[row], told, turns)
            loss, metrics = loss + matching, metrics | matched
        return loss, {
            **metrics,
            "train/tokens": metric(real.sum(), torch.ones(())),
        }
