"""Text beside conversations: whoever trains on dialogues alone forgets it, as perplexity on held-out text shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jobs.batches import text_beside
from jobs.objectives.balance import global_balance_loss
from jobs.objectives.base import Moment, Objective, global_count, metric
from rxt_model.heads import next_tokens
from rxt_model.model import ReactiveTransformer


class Rehearsal(Objective):
    """Another objective, plus `weight` times the loss of the next tokens of the rows of text that lie beside its batch
    (`batches.beside`), if any.

    A reactive model reads its random start memory meanwhile. Either term is a mean of its own: all tokens of text are
    supervised, but of a conversation only the answers, which would count for little in one mean over all of them.
    """

    def __init__(self, talks: Objective, weight: float, balance_weight: float) -> None:
        super().__init__()
        self.talks, self.weight, self.balance_weight = talks, weight, balance_weight

    @property
    def model(self) -> nn.Module:
        return self.talks.model

    def trained(self, step: int) -> list[nn.Module]:
        return self.talks.trained(step)

    def forward(self, batch: dict[str, Tensor], moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.talks(batch, moment)
        text = text_beside(batch)
        if not text:
            return loss, metrics
        model, ids, documents = self.model, text["input_ids"], text["documents"]
        reactive = isinstance(model, ReactiveTransformer)
        memory = [model.initial_memory(len(ids), moment.generator)] if reactive else []
        real = documents >= 0
        output = model.decode(ids, *memory, mask=real, documents=documents)
        lm = next_tokens(model.decoder.head, output.hidden, ids, documents)
        added = self.weight * lm.loss / global_count(lm.count) + self.balance_weight * global_balance_loss(
            output.routing
        )
        return loss + added, {
            **metrics,
            "train/text_loss": metric(lm.loss, lm.count),
            "train/text_accuracy": metric(lm.correct, lm.count),
            "train/tokens": metrics["train/tokens"] + metric(real.sum(), torch.zeros(())),
        }
