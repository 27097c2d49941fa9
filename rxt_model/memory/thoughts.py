"""What memory takes of an interaction in which the model thought before it answered."""

from __future__ import annotations

import torch
from torch import Tensor

from rxt_model.config import ModelConfig


def remembered(ids: Tensor, mask: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return interactions ids [.., T] and their mask of real tokens as the encoder reads them before a write.

    With `memory.thoughts` they are whole, as published. Else [T] and the thoughts up to the answer, the tool call or
    [EOS] are left out: what follows moves to the left, and padding fills up.
    """
    if config.memory.thoughts:
        return ids, mask
    tokens = config.tokens
    thinks = (ids == tokens.think).cumsum(-1) > 0
    over = ((ids == tokens.answer) | (ids == tokens.tool_call) | (ids == tokens.eos)).cumsum(-1) > 0
    kept, order = (mask & (~thinks | over)).long().sort(dim=-1, descending=True, stable=True)
    real = kept.bool()
    return ids.gather(-1, order).where(real, torch.full_like(ids, tokens.pad)), real
