"""Routed SwiGLU experts as one autograd node: rows sorted by expert, two matrix products per expert and direction.

Only x, the pre-activations and the indices are saved for the backward pass; activations are recomputed. Autograd would
make one weight gradient per expert. Here they are written straight into one tensor of the stacked shape, which lies in
huge pages, since it is large and new in every step. Time depends on the number of assignments, not on how they fall on
the experts. Every sum has a fixed order, so bits repeat.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels import experts as kernels
from rxt_model.kernels.experts import MainGradients
from rxt_model.moe import huge_pages

GROUP_ROWS = 512  # temporaries of at least so many rows exist at once: they stay in cache, and calls are worth while


def routed_experts(
    x: Tensor,
    weights: Tensor,
    chosen: Tensor,
    w_in: Tensor,
    w_out: Tensor,
    b_in: Tensor | None = None,
    b_out: Tensor | None = None,
    *,
    main_gradients: MainGradients | None = None,
) -> tuple[Tensor, Tensor]:
    """Return y_n = sum_k weights[n, k] * SwiGLU_e(x_n) with e = chosen[n, k], and the assignments of each expert.

    x [N, d]; weights [N, K]; chosen [N, K] integers below E, distinct within a row; experts w_in [E, d, 2f] to
    (linear, gate), w_out [E, f, d], optional biases b_in [E, 2f], b_out [E, d] -> (y [N, d], counts [E]).
    Differentiable once. Under autocast x and the experts have its dtype; activations are at least fp32.

    `main_gradients` returns tensors shaped like w_in and w_out. If kernels run, the backward pass adds the gradients of
    the weights to these tensors, in their precision, and returns none for w_in and w_out.

    On a GPU kernels run if x is bf16 or fp16 and the experts have no biases. Everything else is computed as on a CPU,
    and the host waits for the counts of every layer. Then a warning says so, once for each reason.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, w_in, w_out = x.to(dtype), w_in.to(dtype), w_out.to(dtype)
    if x.is_cuda and chosen.numel():
        biased = b_in is not None or b_out is not None
        reason = "experts have biases: must have none (moe.bias = 'layer')" if biased else kernels.obstacle(x)
        if reason is None:
            return kernels.routed_experts(x, weights, chosen, w_in, w_out, main_gradients)
        _warn(reason)
    weights = weights.to(torch.promote_types(x.dtype, torch.float32))
    counts = torch.bincount(chosen.flatten(), minlength=w_in.shape[0])
    y = _RoutedExperts.apply(x, weights, chosen, counts, w_in, w_out, b_in)
    if b_out is not None:
        share = weights.new_zeros(chosen.shape[0], w_out.shape[0]).scatter(1, chosen.long(), weights)
        y = y + share.to(b_out.dtype) @ b_out
    return y, counts


@cache
def _warn(reason: str) -> None:
    """Warn once for each reason, whatever filters the caller has set."""
    warnings.warn(f"experts on a GPU run the algorithm for CPUs, which is slow there: {reason}", stacklevel=3)


class _RoutedExperts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weights, chosen, counts, w_in, w_out, b_in):
        plan = _Plan(chosen, counts, weights)
        hidden = x.new_empty(plan.token.numel(), w_in.shape[2])
        out = x.new_empty(plan.token.numel(), x.shape[1])
        ups, downs = w_in.unbind(0), w_out.unbind(0)
        for rows, experts, sizes in plan.groups():
            taken = x.index_select(0, plan.token[rows])
            _products(taken.split(sizes), ups[experts], hidden[rows].split(sizes))
            if b_in is not None:
                hidden[rows] += b_in[experts].repeat_interleave(counts[experts], 0)
            linear, gate = hidden[rows].to(weights.dtype).chunk(2, -1)
            active = F.silu(gate).mul_(linear).mul_(plan.weight[rows]).to(x.dtype)
            _products(active.split(sizes), downs[experts], out[rows].split(sizes))
        ctx.save_for_backward(x, weights, chosen, counts, hidden, w_in, w_out, b_in)
        return plan.combine(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y):
        x, weights, chosen, counts, hidden, w_in, w_out, b_in = ctx.saved_tensors
        plan = _Plan(chosen, counts, weights)
        need_x, need_weights, _, _, *need_experts = ctx.needs_input_grad
        d_w_in, d_w_out, d_b_in = (
            huge_pages.empty_like(stack) if needed else None
            for stack, needed in zip((w_in, w_out, b_in), need_experts, strict=True)
        )
        d_rows = x.new_empty(plan.token.numel(), x.shape[1]) if need_x else None
        d_weights = torch.empty_like(plan.weight)
        ups, downs = w_in.transpose(1, 2).unbind(0), w_out.transpose(1, 2).unbind(0)
        for rows, experts, sizes in plan.groups():
            token, weight = plan.token[rows], plan.weight[rows]
            d_out = d_y.index_select(0, token)
            d_active = x.new_empty(token.numel(), w_out.shape[1])
            _products(d_out.split(sizes), downs[experts], d_active.split(sizes))
            active, d_hidden, d_weights[rows] = _swiglu_backward(hidden[rows], d_active, weight)
            if d_w_out is not None:
                _products(active.t().split(sizes, 1), d_out.split(sizes), d_w_out[experts].unbind(0))
            if d_w_in is not None:
                taken = x.index_select(0, token)
                _products(taken.t().split(sizes, 1), d_hidden.split(sizes), d_w_in[experts].unbind(0))
            if d_b_in is not None:
                d_b_in[experts] = torch.stack([part.sum(0) for part in d_hidden.split(sizes)])
            if d_rows is not None:
                _products(d_hidden.split(sizes), ups[experts], d_rows[rows].split(sizes))
        d_x = None if d_rows is None else plan.combine(d_rows)
        d_weights = d_weights.view(-1)[plan.inverse] if need_weights else None
        return d_x, d_weights, None, None, d_w_in, d_w_out, d_b_in


def _swiglu_backward(hidden: Tensor, d_active: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, d hidden and d weight of weight * linear * SiLU(gate), where hidden = [linear, gate]."""
    linear, gate = hidden.to(weight.dtype).chunk(2, -1)
    d_active = d_active.to(weight.dtype)
    silu = F.silu(gate)
    active = linear * silu
    d_weight = (d_active * active).sum(1, keepdim=True)
    d_active *= weight
    d_hidden = torch.empty_like(hidden)
    d_linear, d_gate = d_hidden.chunk(2, -1)
    d_linear.copy_(silu.mul_(d_active))
    d_gate.copy_(torch.ops.aten.silu_backward(d_active.mul_(linear), gate))
    return active.mul_(weight).to(hidden.dtype), d_hidden, d_weight


def _products(left: Sequence[Tensor], right: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Set out[i] = left[i] @ right[i]. Empty products are zero."""
    for a, b, c in zip(left, right, out, strict=True):
        torch.mm(a, b, out=c)


class _Plan:
    """Assignments in the order of their experts. Row r of R = N * K reads `token` [R] with `weight` [R, 1]; `inverse`
    [N, K] holds the row of each assignment."""

    def __init__(self, chosen: Tensor, counts: Tensor, weights: Tensor) -> None:
        order = chosen.flatten().argsort(stable=True)
        self.token = order // chosen.shape[1]
        self.weight = weights.flatten()[order][:, None]
        self.inverse = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))
        self.inverse = self.inverse.view(chosen.shape)
        self.counts = counts.tolist()

    def groups(self) -> Iterator[tuple[slice, slice, list[int]]]:
        """Yield consecutive experts together: (their rows, which experts, the number of rows of each)."""
        first = row = rows = 0
        for last, count in enumerate(self.counts, 1):
            rows += count
            if rows >= GROUP_ROWS or last == len(self.counts):
                yield slice(row, row + rows), slice(first, last), self.counts[first:last]
                first, row, rows = last, row + rows, 0

    def combine(self, rows: Tensor) -> Tensor:
        """Sum each token's K rows in the order of its choices: rows [R, d] -> [N, d]."""
        return F.embedding_bag(self.inverse, rows, mode="sum")
