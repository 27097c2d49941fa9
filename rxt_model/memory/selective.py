"""The selective write, our own: it keeps the encoder states of the most important tokens, one per slot."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rxt_model.config import Architecture
from rxt_model.copying.marks import with_age
from rxt_model.flops import Flops, weights
from rxt_model.layers.parts import norm
from rxt_model.memory.registry import WRITTEN_RMS
from rxt_model.memory.write import MemoryWrite

OLDEST = 255  # the highest age that bf16 tells from the one below it


class SelectiveWrite(MemoryWrite):
    """The next memory holds the S most important states of [M; E], in the order of the text. Earlier states win ties.

    Importance is a learned score of the state alone, without its mark. The choice has no gradient. Training teaches the
    score from what the decoder reads (`MemoryAttention.importance`). With a copying head a slot grows older by one with
    each write after its own, up to `OLDEST`. Older interactions count as one. What is chosen has the highest

        importance - ageing * age

    so what is new finds room in a memory that is full. All slots grow older together. So writing turn by turn keeps the
    same tokens as choosing among all turns at once, unless the oldest of them are older than `OLDEST`.
    """

    def __init__(self, config: Architecture) -> None:
        super().__init__(config)
        self.dim, self.width, self.carries_marks = config.dim, config.slot_dim, config.copying
        self.ageing = config.memory.ageing
        self.score = nn.Sequential(
            norm(config.dim, config.norm_eps),
            nn.Linear(config.dim, config.dim),
            nn.SiLU(),
            nn.Linear(config.dim, 1),
        )

    def importance(self, states: Tensor) -> Tensor:
        return self.score(states[..., : self.dim]).squeeze(-1)

    def forward(self, slots: Tensor, mean: Tensor | None, projected: Tensor, mask: Tensor) -> Tensor:
        written = slots.detach().float().square().mean(-1).sqrt() >= WRITTEN_RMS
        if self.carries_marks:
            slots = with_age(slots, slots[..., -1].add(written).clamp(max=OLDEST))
        with torch.no_grad():
            order = self._scores(slots, written, projected, mask).sort(dim=1, descending=True, stable=True).indices
        chosen = order[:, : slots.shape[1]].sort(dim=1).values[..., None].expand(-1, -1, slots.shape[2])
        return torch.cat((slots, projected), 1).gather(1, chosen)

    def _scores(self, slots: Tensor, written: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Score slots and tokens, [B, S + T]. Padding scores lowest, and unwritten slots just above it."""
        lowest = torch.finfo(torch.float32).min
        of_slots = self._worth(slots).where(written, lowest)
        of_tokens = self._worth(tokens).masked_fill(~mask, -torch.inf)
        return torch.cat((of_slots, of_tokens), 1)

    def _worth(self, states: Tensor) -> Tensor:
        """Return the importance of states [B, M, w] at their age, [B, M]."""
        worth = self.importance(states).float()
        return worth - self.ageing * states[..., -1].float() if self.ageing else worth

    def flops(self, length: int, slots: int) -> Flops:
        return Flops(2 * (length + slots) * weights(self), 0)

    def kept(self, length: int, slots: int) -> int:
        """What is chosen from, and an index of 64 bits for each slot."""
        return (slots + length) * self.width + 2 * slots
