"""The routed experts of a mixture-of-experts layer, as one autograd node of Triton kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels.backward import hidden_gradient, input_gradient, weight_gradient
from rxt_model.kernels.forward import sum_rows, swiglu_rows
from rxt_model.kernels.language import triton
from rxt_model.kernels.plan import Plan, plan_rows
from rxt_model.kernels.products import rows_times_experts
from rxt_model.kernels.tiles import BETA, Tiles

MainGradients = Callable[[], tuple[Tensor, Tensor]]  # called in the backward pass: the tensors may change before it


def routed_experts(
    x: Tensor, weights: Tensor, chosen: Tensor, w_in: Tensor, w_out: Tensor, main_gradients: MainGradients | None = None
) -> tuple[Tensor, Tensor]:
    """Return y[t] = sum over k of weights[t, k] * SwiGLU of expert chosen[t, k] of x[t], and the assignments of each
    expert. No token is dropped.

    x [T, d], weights [T, K], chosen [T, K] integers, T * K >= 1, w_in [E, d, 2n] with (linear, gate) halves, w_out
    [E, n, d] -> (y [T, d] in the dtype of x, counts [E]). `main_gradients` returns tensors shaped like w_in and w_out,
    of any float dtype: the backward pass adds the weight gradients there, accumulated in fp32, and returns none for
    w_in and w_out. Raises ValueError if the kernels cannot run.
    """
    if reason := obstacle(x):
        raise ValueError(f"the kernels of the experts cannot run: {reason}")
    with torch.cuda.device(x.device):
        y, starts = RoutedExperts.apply(x, weights, chosen, w_in, w_out, main_gradients, BETA)
    return y, starts.diff()


def kernels_run(x: Tensor) -> bool:
    """Return whether the kernels can run for the device and dtype of x."""
    return obstacle(x) is None


def obstacle(x: Tensor) -> str | None:
    """Return why the kernels cannot run for the device and dtype of x, and what would help; None if they can."""
    if not x.is_cuda:
        return f"x is on {x.device}: must be on a GPU"
    if x.dtype not in (torch.bfloat16, torch.float16):
        return f"x is of {x.dtype}: must be of torch.bfloat16 or torch.float16, as under autocast"
    if triton is None:
        return "Triton is not installed: must be, by pip install 'triton>=3.6,<4'"
    capability = torch.cuda.get_device_capability(x.device)
    if capability < (8, 0):  # tiles take more shared memory than older ones have
        return f"{x.device} has compute capability {capability[0]}.{capability[1]}: must have at least 8.0"
    return None


class RoutedExperts(torch.autograd.Function):
    """Runs the kernels on any device. It also returns where the rows of each expert start [E + 1].

    Between the passes it keeps x, weights, pre-activations and the plan. It computes only the gradients that are
    needed.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, weights: Tensor, chosen: Tensor, w_in: Tensor, w_out: Tensor,
        main_gradients: MainGradients | None, tiles: Tiles,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        x, weights, w_in, w_out = (tensor.contiguous() for tensor in (x, weights, w_in, w_out))
        plan = plan_rows(chosen, w_in.shape[0], tiles.height)
        active, hidden = swiglu_rows(x, plan, w_in, weights.shape[1], tiles)
        y = sum_rows(rows_times_experts(active, plan, w_out, False, tiles.height, tiles.down), plan, weights)
        ctx.save_for_backward(x, weights, w_in, w_out, hidden, *plan)
        ctx.main_gradients, ctx.tiles = main_gradients, tiles
        ctx.mark_non_differentiable(plan.starts)
        return y, plan.starts

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor, _):
        x, weights, w_in, w_out, hidden, *rest = ctx.saved_tensors
        plan, tiles, top_k, dy = Plan(*rest), ctx.tiles, weights.shape[1], dy.contiguous()
        need_x, need_weights, _, need_in, need_out, *_ = ctx.needs_input_grad
        d_hidden, scaled, d_weights = hidden_gradient(dy, hidden, weights, plan, w_out, tiles)
        add = ctx.main_gradients is not None
        main_in, main_out = ctx.main_gradients() if add else (None, None)
        dx = d_in = d_out = None
        if need_out:
            d_out = torch.empty_like(w_out) if main_out is None else main_out
            weight_gradient(dy, scaled, plan, top_k, True, tiles.d_w_out_main if add else tiles.d_weight, d_out, add)
        if need_in:
            d_in = torch.empty_like(w_in) if main_in is None else main_in
            weight_gradient(x, d_hidden, plan, top_k, False, tiles.d_w_in_main if add else tiles.d_weight, d_in, add)
        if need_x:
            dx = input_gradient(d_hidden, weights, plan, w_in, tiles)
        d_weights = d_weights.to(weights.dtype) if need_weights else None
        gradients = (None, None) if add else (d_in, d_out)
        return dx, d_weights, None, *gradients, None, None
