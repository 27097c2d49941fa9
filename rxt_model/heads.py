"""Output heads and the loss that never holds more logits than it needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rxt_model.config import ModelConfig

CHUNK_ROWS = 8192


class MLMHead(nn.Module):
    """Training-only head of the encoder: Linear -> GELU -> LayerNorm -> Linear, with biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.decode = nn.Linear(config.dim, config.vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decode(self.norm(F.gelu(self.dense(hidden))))


class TokenLoss(NamedTuple):
    """Sums over the selected positions: cross entropy in nats, correct predictions, positions."""

    loss: Tensor
    correct: Tensor
    count: Tensor


def cross_entropy(head: nn.Module, hidden: Tensor, targets: Tensor, selected: Tensor) -> TokenLoss:
    """Summed cross entropy of head(hidden) [.., d] against targets [..] where `selected` [..] is True.

    Positions are gathered before the head; above CHUNK_ROWS rows logits are recomputed in the backward pass.
    """
    index = selected.flatten().nonzero().squeeze(1)
    rows, labels = hidden.flatten(0, -2)[index], targets.flatten()[index]
    count = torch.tensor(float(index.numel()), device=hidden.device)
    if index.numel() <= CHUNK_ROWS:
        loss, correct = _chunk(head, rows, labels)
        return TokenLoss(loss, correct, count)
    parts = [
        checkpoint(_chunk, head, r, t, use_reentrant=False)
        for r, t in zip(rows.split(CHUNK_ROWS), labels.split(CHUNK_ROWS), strict=True)
    ]
    return TokenLoss(sum(p[0] for p in parts), sum(p[1] for p in parts), count)


def _chunk(head: nn.Module, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(rows).float()
    correct = (logits.detach().argmax(-1) == labels).sum() if labels.numel() else torch.zeros((), device=rows.device)
    return F.cross_entropy(logits, labels, reduction="sum"), correct.float()
