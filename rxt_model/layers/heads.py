"""Output heads, and the loss over selected tokens, which never holds more logits than it needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import ModelConfig
from rxt_model.layers.linear_cross_entropy import linear_cross_entropy


class MLMHead(nn.Module):
    """The encoder's head, used only in training: Linear -> GELU -> LayerNorm -> Linear, with biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.decode = nn.Linear(config.dim, config.vocab_size)

    def features(self, hidden: Tensor) -> Tensor:
        """Map hidden states [.., d] to the input of the last projection [.., d]."""
        return self.norm(F.gelu(self.dense(hidden)))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decode(self.features(hidden))


@dataclass(frozen=True)
class TokenLoss:
    """The loss over n selected positions. `loss`, which is minimised, is the sum of the cross entropies plus
    z_weight * z. `right` [n] tells which predictions are right, in order. Without gradient: `nats`, the cross entropies
    alone, and `z`, the sum of the squared log-sum-exps of the logits."""

    loss: Tensor
    right: Tensor
    nats: Tensor
    z: Tensor

    @property
    def correct(self) -> Tensor:
        """The number of right predictions, []."""
        return self.right.sum()

    @property
    def count(self) -> Tensor:
        """The number of predictions, [] fp32."""
        return self.right.new_tensor(self.right.numel(), dtype=torch.float32)


def cross_entropy(
    head: nn.Linear | MLMHead, hidden: Tensor, targets: Tensor, selected: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Return the summed cross entropy of head(hidden) [.., d] against targets [..] where `selected` [..] is True, with
    the z-loss of PaLM (arXiv 2204.02311): z_weight * logsumexp(logits)^2.

    Selected positions are gathered before the head, and logits exist only in chunks.
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
    """Score hidden [B, T, d] by the next token of the same document; documents [B, T] are -1 at padding."""
    selected = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return cross_entropy(head, hidden[:, :-1], ids[:, 1:], selected, z_weight)
