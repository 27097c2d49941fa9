"""Stage `baseline`: plain next-token prediction, on text, interactions and whole conversations."""

from __future__ import annotations

import torch
from torch import Tensor

from jobs.objectives.balance import global_balance_loss
from jobs.objectives.base import Moment, Objective, global_count, metric
from rxt_model.baseline import StatelessDecoder
from rxt_model.heads import cross_entropy, next_tokens


class NextToken(Objective):
    """Batches: input_ids [B, T] with `documents` (packed text: everything is supervised) or `loss_mask` (answers)."""

    def __init__(self, model: StatelessDecoder, balance_weight: float) -> None:
        super().__init__()
        self.model, self.balance_weight = model, balance_weight

    def forward(self, batch: dict[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        ids = batch["input_ids"]
        real = ids != self.model.config.tokens.pad
        documents = batch.get("documents")
        output = self.model.decode(ids, mask=real, documents=documents)
        head, hidden = self.model.decoder.head, output.hidden
        if documents is None:
            lm = cross_entropy(head, hidden[:, :-1], ids[:, 1:], batch["loss_mask"][:, 1:])
        else:
            lm = next_tokens(head, hidden, ids, documents)
        loss = lm.loss / global_count(lm.count) + self.balance_weight * global_balance_loss(output.routing)
        return loss, {
            "train/loss": metric(lm.loss, lm.count),
            "train/accuracy": metric(lm.correct, lm.count),
            "train/tokens": metric(real.sum(), torch.ones(())),
        }
