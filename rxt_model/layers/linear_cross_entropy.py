"""Compute output projection and cross entropy together, in chunks, so that full logits [rows, V] never exist.

The forward pass also makes the gradient, while it has the logits of a chunk: three matrix products, none repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.check import refuse
from rxt_model.kernels.cross_entropy import IGNORED, RowLosses, row_losses
from rxt_model.kernels.language import triton

CHUNK_LOGITS = {"cpu": 1 << 20}  # logits of a chunk; on a CPU they stay in its cache
LARGE_CHUNK = 1 << 28  # on other devices: small chunks would read and write the gradient of the weights too often


@dataclass(frozen=True)
class LinearLoss:
    """`loss` is the sum of the cross entropies in nats plus z_weight * z, and the only differentiable value. `count` []
    counts rows. `z` sums the squared log-sum-exps. `right` [R] tells in which rows no logit is above the label's."""

    loss: Tensor
    count: Tensor
    z: Tensor
    right: Tensor


def linear_cross_entropy(
    rows: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, z_weight: float = 0.0
) -> LinearLoss:
    """Return the cross entropy of logits rows [R, d] @ weight [V, d]^T + bias [V] against labels [R].

    Rows with the label IGNORED do not count. Raises ValueError for other labels beyond the vocabulary. The result is
    differentiable once. Under autocast the products have its dtype; logits are at least fp32.
    """
    beyond = (labels < 0) | (labels >= weight.shape[0])
    rule = f"must lie in 0..{weight.shape[0] - 1}, the vocabulary, or be {IGNORED}, which is ignored"
    refuse(beyond & (labels != IGNORED), "labels", labels, rule)
    if torch.is_autocast_enabled(rows.device.type):
        dtype = torch.get_autocast_dtype(rows.device.type)
        rows, weight = rows.to(dtype), weight.to(dtype)
    with torch.autocast(rows.device.type, enabled=False):  # autocast would round the sums to half precision
        return LinearLoss(*_LinearCrossEntropy.apply(rows, weight, bias, labels, z_weight, torch.is_grad_enabled()))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, weight, bias, labels, z_weight, differentiate):
        wide = torch.promote_types(rows.dtype, torch.float32)
        need_rows, need_weight, need_bias = (differentiate and need for need in ctx.needs_input_grad[:3])
        d_rows = torch.empty_like(rows) if need_rows else None
        d_weight = torch.zeros_like(weight, dtype=wide) if need_weight else None
        d_bias = torch.zeros_like(bias, dtype=wide) if need_bias else None
        loss, z = rows.new_zeros(2, dtype=wide)
        counted = labels != IGNORED
        right = torch.zeros_like(counted)
        size = max(1, CHUNK_LOGITS.get(rows.device.type, LARGE_CHUNK) // weight.shape[0])
        for start in range(0, rows.shape[0], size):
            part = slice(start, start + size)
            taken = rows[part].where(counted[part, None], 0)
            differentiate = need_rows or need_weight or need_bias
            found, slope = _row_losses(F.linear(taken, weight), bias, labels[part], z_weight, differentiate)
            right[part] = found.right
            loss += found.loss.sum()
            z += found.normaliser.square().sum()
            if d_bias is not None:
                d_bias += slope.sum(0, dtype=wide)
            if d_rows is not None:
                torch.mm(slope, weight, out=d_rows[part])
            if d_weight is not None:
                _add_product(d_weight, slope.t(), taken)
        ctx.save_for_backward(d_rows, d_weight, d_bias)
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        count = counted.sum()
        ctx.mark_non_differentiable(count, z, right)
        return loss + z_weight * z, count, z, right

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss, *_):
        d_rows, d_weight, d_bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            None if d_rows is None else d_rows * d_loss.to(d_rows.dtype),
            None if d_weight is None else (d_weight * d_loss).to(weight_dtype),
            None if d_bias is None else (d_bias * d_loss).to(bias_dtype),
            None,
            None,
            None,
        )


def _row_losses(
    logits: Tensor, bias: Tensor | None, labels: Tensor, z_weight: float, differentiate: bool
) -> tuple[RowLosses, Tensor]:
    """Return the losses of the rows, and the slope of loss + z_weight * normaliser^2 with respect to logits [R, V]. On
    a GPU the slope overwrites the logits."""
    if logits.is_cuda and triton is not None:
        with torch.cuda.device(logits.device):
            return row_losses(logits, bias, labels, z_weight, differentiate), logits
    counted = labels[:, None] != IGNORED
    target = labels[:, None].where(counted, 0)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if bias is not None:
        wide += bias
    own, highest = wide.gather(1, target), wide.amax(1, keepdim=True)
    slope = wide.softmax(1)
    normaliser = highest - slope.amax(1, keepdim=True).log()  # log-sum-exp of the row
    columns = (normaliser - own).where(counted, 0), normaliser.where(counted, 0), counted & (own == highest)
    found = RowLosses(*(column.squeeze(1) for column in columns))
    if differentiate:
        # d loss / d logits = p (1 + 2 z_weight lse) - onehot
        if z_weight:
            slope *= 1 + 2 * z_weight * normaliser
        slope.scatter_add_(1, target, torch.full_like(own, -1)).masked_fill_(~counted, 0)
    return found, slope.to(logits.dtype)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to `total`, accumulated in its precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    elif left.is_cuda:
        torch.addmm(total, left, right, out_dtype=total.dtype, out=total)
    else:
        total += left @ right
