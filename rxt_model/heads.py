"""Output heads and the loss that never holds more logits than it needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import ModelConfig
from rxt_model.linear_cross_entropy import linear_cross_entropy


class MLMHead(nn.Module):
    """Training-only head of the encoder: Linear -> GELU -> LayerNorm -> Linear, with biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.decode = nn.Linear(config.dim, config.vocab_size)

    def features(self, hidden: Tensor) -> Tensor:
        """What the last projection sees [.., d]."""
        return self.norm(F.gelu(self.dense(hidden)))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decode(self.features(hidden))


@dataclass(frozen=True)
class TokenLoss:
    """Over the selected positions: `loss`, the sum of the cross entropies plus z_weight * z, which is minimised; which
    predictions [n] are right, in order; and without gradient the cross entropies alone, `nats`, and the sum of the
    squared log-sum-exps of the logits, `z`."""

    loss: Tensor
    right: Tensor
    nats: Tensor
    z: Tensor

    @property
    def correct(self) -> Tensor:
        return self.right.sum()

    @property
    def count(self) -> Tensor:
        return self.right.new_tensor(self.right.numel(), dtype=torch.float32)


def cross_entropy(
    head: nn.Linear | MLMHead, hidden: Tensor, targets: Tensor, selected: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Summed cross entropy of head(hidden) [.., d] against targets [..] where `selected` [..] is True, with the z-loss
    of PaLM (arXiv 2204.02311): z_weight * logsumexp(logits)^2.

    Positions are gathered before the head, and logits exist chunk by chunk.
    """
    index = selected.flatten().nonzero().squeeze(1)
    rows, labels = hidden.flatten(0, -2)[index], targets.flatten()[index]
    if isinstance(head, MLMHead):
        rows, head = head.features(rows), head.decode
    found = linear_cross_entropy(rows, head.weight, head.bias, labels, z_weight)
    return TokenLoss(found.loss, found.right, found.loss.detach() - z_weight * found.z, found.z)


def next_tokens(
    head: nn.Linear | MLMHead, hidden: Tensor, ids: Tensor, documents: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Predictions of the next token of the same document from hidden [B, T, d]; documents [B, T], padding is -1."""
    selected = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return cross_entropy(head, hidden[:, :-1], ids[:, 1:], selected, z_weight)
