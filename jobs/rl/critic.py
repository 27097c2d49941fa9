"""The critic: what reward to expect, from the previous interaction and the next query alone."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from jobs.rl.rewards import PaddedIds
from rxt_model.model import ReactiveTransformer


class Critic(nn.Module):
    """A copy of the policy's encoder and embedding with a value head on the mean of the last layer.

    The head starts at zero, so that the first advantages are the rewards themselves.
    """

    def __init__(self, model: ReactiveTransformer) -> None:
        super().__init__()
        self.body = copy.deepcopy(model)
        del self.body.decoder, self.body.memory_attention, self.body.mlm_head
        self.value = nn.Linear(model.config.dim, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, rows: PaddedIds) -> Tensor:
        """Expected reward [B], as a share of the largest, of rows of tokens (up to twice an interaction's length)."""
        mask = rows.mask
        encoded = self.body.encode(rows.ids, mask)[-1]
        mean = (encoded * mask[..., None]).sum(1) / rows.lengths.clamp(min=1)[:, None]
        return self.value(mean).squeeze(-1)
