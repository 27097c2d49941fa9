"""Cross entropy over a large vocabulary: each row's loss, and its gradient in place, from reading the logits twice."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton

IGNORED = -100  # label of a row that does not count
BLOCK = 4096  # logits of one step
WARPS = 16  # few large programs: the L2 cache still has a row when it is read again


class RowLosses(NamedTuple):
    """For each row, in fp32, the cross entropy in nats and the log-sum-exp, both 0 if the label is ignored; and whether
    no logit is above the label's."""

    loss: Tensor
    normaliser: Tensor
    right: Tensor


def row_losses(logits: Tensor, bias: Tensor | None, labels: Tensor, z_weight: float, differentiate: bool) -> RowLosses:
    """Compare logits [R, V] + bias [V] with labels [R]; rows with the label IGNORED do not count.

    If `differentiate`, the gradient of loss + z_weight * normaliser^2 overwrites the logits; it is zero in ignored
    rows.
    """
    rows, vocabulary = logits.shape
    loss, normaliser = torch.empty(2, rows, dtype=torch.float32, device=logits.device)
    right = torch.empty(rows, dtype=torch.bool, device=logits.device)
    block = min(BLOCK, triton.next_power_of_2(vocabulary))
    loss_kernel[(rows,)](
        logits, logits if bias is None else bias, labels, loss, normaliser, right, z_weight, vocabulary,
        IGNORED, bias is not None, differentiate, block, num_warps=WARPS,
    )  # fmt: skip
    return RowLosses(loss, normaliser, right)


@jit
def load_logits(at, bias, columns, vocabulary, BIASED: tl.constexpr):
    """Load logits in fp32, plus their bias if BIASED; columns beyond the vocabulary get a very low value."""
    inside = columns < vocabulary
    z = tl.load(at + columns, mask=inside, other=0.0).to(tl.float32)
    if BIASED:
        z += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    return tl.where(inside, z, -1e30)  # not -inf: the difference of two would be NaN


@jit
def loss_kernel(
    logits, bias, labels, loss, normaliser, right, z_weight, vocabulary,
    IGNORED: tl.constexpr, BIASED: tl.constexpr, GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Handle one row. Every lane keeps the largest logit of its columns, and the sum of exponentials relative to it."""
    row = tl.program_id(0)
    label = tl.load(labels + row)
    counted = label != IGNORED
    at = logits + row.to(tl.int64) * vocabulary
    lanes = tl.arange(0, BLOCK)
    own = tl.load(at + label, mask=counted, other=0.0).to(tl.float32)
    if BIASED:
        own += tl.load(bias + label, mask=counted, other=0.0).to(tl.float32)

    highest = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, vocabulary, BLOCK):
        z = load_logits(at, bias, first + lanes, vocabulary, BIASED)
        higher = tl.maximum(highest, z)
        total = total * tl.exp(highest - higher) + tl.exp(z - higher)
        highest = higher
    top = tl.max(highest, 0)
    log_sum = top + tl.log(tl.sum(total * tl.exp(highest - top), 0))

    tl.store(loss + row, tl.where(counted, log_sum - own, 0.0))
    tl.store(normaliser + row, tl.where(counted, log_sum, 0.0))
    tl.store(right + row, counted & (own == top))
    if GRADIENT:
        # d (lse - own + z_weight lse^2) / d logits = p (1 + 2 z_weight lse) - onehot
        scale = tl.where(counted, 1 + 2 * z_weight * log_sum, 0.0)
        for first in range(0, vocabulary, BLOCK):
            columns = first + lanes
            z = load_logits(at, bias, columns, vocabulary, BIASED)
            slope = tl.exp(z - log_sum) * scale - tl.where((columns == label) & counted, 1.0, 0.0)
            tl.store(at + columns, slope.to(logits.dtype.element_ty), mask=columns < vocabulary)
