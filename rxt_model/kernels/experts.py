"""The routed experts of a mixture-of-experts layer: Triton kernels on a GPU, torch everywhere else."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels.backward import hidden_gradient, input_gradient, weight_gradient
from rxt_model.kernels.forward import rows_times_experts, sum_rows, swiglu_rows
from rxt_model.kernels.language import triton
from rxt_model.kernels.plan import Plan, plan_rows
from rxt_model.kernels.tiles import BETA, Tiles
from rxt_model.moe import run_experts

MainGradients = tuple[Tensor, Tensor]


def routed_experts(
    x: Tensor, weights: Tensor, chosen: Tensor, w_in: Tensor, w_out: Tensor, main_gradients: MainGradients | None = None
) -> Tensor:
    """y[t] = sum over k of weights[t, k] * SwiGLU of expert chosen[t, k] of x[t] (rxt.md 1.9); no token is dropped.

    x [T, d], weights [T, K], chosen [T, K] integers, w_in [E, d, 2n] with (linear, gate) halves, w_out [E, n, d] ->
    [T, d] in the dtype of x. Under autocast x and the experts are cast first. `main_gradients`, shaped like w_in and
    w_out, any float dtype: the backward pass adds the weight gradients there, accumulated in fp32, and gives w_in and
    w_out none; ValueError where the kernels do not run.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, w_in, w_out = x.to(dtype), w_in.to(dtype), w_out.to(dtype)
    if kernels_run(x) and chosen.numel():
        return RoutedExperts.apply(x, weights, chosen, w_in, w_out, main_gradients, BETA)
    if main_gradients is not None:
        raise ValueError(f"main_gradients: kernels run on rows of bf16 or fp16 on a GPU, not {x.dtype} on {x.device}")
    order = chosen.flatten().argsort(stable=True)
    rows = run_experts(x[order // chosen.shape[1]], chosen.flatten().bincount(minlength=len(w_in)), w_in, w_out)
    by_assignment = rows[order.argsort()].unflatten(0, chosen.shape)
    return (by_assignment * weights[..., None].to(rows.dtype)).sum(1)


def kernels_run(x: Tensor) -> bool:
    """Whether there are kernels for the device and dtype of x."""
    return triton is not None and x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)


class RoutedExperts(torch.autograd.Function):
    """The kernels, whatever the device. Between the passes live x, weights, pre-activations and the plan."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weights: Tensor, chosen: Tensor, w_in: Tensor, w_out: Tensor,
        main_gradients: MainGradients | None, tiles: Tiles,
    ) -> Tensor:  # fmt: skip
        x, weights, w_in, w_out = (tensor.contiguous() for tensor in (x, weights, w_in, w_out))
        plan = plan_rows(chosen, w_in.shape[0], tiles.rows)
        active, hidden = swiglu_rows(x, plan, w_in, weights.shape[1], tiles)
        y = sum_rows(rows_times_experts(active, plan, w_out, False, tiles.rows, tiles.matmul), plan, weights)
        ctx.save_for_backward(x, weights, w_in, w_out, hidden, *plan)
        ctx.main_gradients, ctx.tiles = main_gradients, tiles
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        x, weights, w_in, w_out, hidden, *rest = ctx.saved_tensors
        plan, tiles, top_k, dy = Plan(*rest), ctx.tiles, weights.shape[1], dy.contiguous()
        d_hidden, scaled, d_weights = hidden_gradient(dy, hidden, weights, plan, w_out, tiles)
        add = ctx.main_gradients is not None
        d_in, d_out = ctx.main_gradients or (torch.empty_like(w_in), torch.empty_like(w_out))
        weight_gradient(dy, scaled, plan, top_k, True, tiles, d_out, add)
        weight_gradient(x, d_hidden, plan, top_k, False, tiles, d_in, add)
        dx = input_gradient(d_hidden, weights, plan, w_in, tiles)
        gradients = (None, None) if add else (d_in, d_out)
        return dx, d_weights.to(weights.dtype), None, *gradients, None, None
