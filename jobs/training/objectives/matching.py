"""Teach matching: a question matches the interaction that told its answer, and no other (InfoNCE, arXiv 1807.03748).

The candidates are the earlier interactions of the same conversation, and "none", whose score is 0. So the loss does not
depend on how conversations are spread over ranks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.training.batching.batches import NEVER_TOLD
from jobs.training.objectives.base import global_count, metric
from rxt_model.copying.matching import NEVER


def matching_loss(scores: Tensor, turn_of: Tensor, told: Tensor, turns: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean cross entropy of choosing the turn that told, and its metrics.

    `scores` [Q, M] are those of Q asking tokens against M states of the turns `turn_of` [Q, M]. `told` [Q] is a turn or
    NEVER_TOLD. The score of a turn is the log-mean-exp of its states.
    """
    usable = (scores > NEVER).to(scores.dtype)
    empty = scores.new_zeros(len(scores), turns)
    states = empty.scatter_add(1, turn_of, usable)
    largest = empty.fill_(NEVER).scatter_reduce(1, turn_of, scores.detach(), "amax")
    sums = torch.zeros_like(states).scatter_add(1, turn_of, usable * (scores - largest.gather(1, turn_of)).exp())
    of_turns = largest + (sums / states.clamp(min=1)).clamp(min=torch.finfo(sums.dtype).tiny).log()
    logits = F.pad(of_turns.where(states > 0, NEVER), (1, 0))
    target = told - NEVER_TOLD
    total, count = F.cross_entropy(logits, target, reduction="sum"), scores.new_tensor(float(len(told)))
    right = (logits.argmax(-1) == target).sum()
    return total / global_count(count), {
        "train/matching_loss": metric(total, count),
        "train/matching_accuracy": metric(right, count),
    }
