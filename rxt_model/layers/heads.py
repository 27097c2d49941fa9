"""The head of the encoder, which only training uses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import ModelConfig


class MLMHead(nn.Module):
    """The encoder's head, used only in training: Linear -> GELU -> LayerNorm -> Linear, with biases. It reads
    states, not the marks beside them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.dense = nn.Linear(config.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.decode = nn.Linear(config.dim, config.vocab_size)

    def features(self, hidden: Tensor) -> Tensor:
        """Map encoder states [.., slot_dim] to the input of the last projection [.., d]."""
        return self.norm(F.gelu(self.dense(hidden[..., : self.dim])))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decode(self.features(hidden))
