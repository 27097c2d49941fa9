"""Which experts a token goes to: logits in fp32 that save nothing but their inputs, softmax, the top-k."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels import logits as tensor_cores
from rxt_model.kernels.experts import kernels_run
from rxt_model.kernels.language import triton
from rxt_model.kernels.topk import select_experts


def router_logits(x: Tensor, w: Tensor) -> Tensor:
    """x [T, d] of any dtype, w [E, d] -> x w^T [T, E] in fp32, also under autocast.

    F.linear(x.float(), w) would keep the fp32 copy of x until the backward pass. bf16 rows on a GPU are multiplied by
    our kernels, nearly as exact as fp32 whatever torch's setting; elsewhere how exact an fp32 product is on a GPU is
    that setting (`torch.backends.cuda.matmul`).
    """
    if x.dtype == torch.bfloat16 and kernels_run(x) and x.shape[0]:
        with torch.cuda.device(x.device):
            return SplitLogits.apply(x, w)
    return _RouterLogits.apply(x, w)


def select(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax over all experts, the `top_k` largest renormalised: logits [N, E] fp32 -> their weights [N, K], which
    they are [N, K], and the sum of the probabilities of each expert [E]."""
    if logits.is_cuda and triton is not None and logits.shape[0]:
        with torch.cuda.device(logits.device):
            selection = select_experts(logits, top_k)
        return selection.weights, selection.chosen, selection.mass
    probabilities = logits.softmax(-1)
    weights, chosen = probabilities.topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True), chosen, probabilities.sum(0)


class SplitLogits(torch.autograd.Function):
    """The kernels, whatever the device, for x of 16-bit numbers."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
        x, parts = x.contiguous(), tensor_cores.split(w.float(), x.dtype)
        ctx.save_for_backward(x, parts)
        ctx.dtype = w.dtype
        return tensor_cores.logits_of(x, parts)

    @staticmethod
    @once_differentiable
    def backward(ctx, d: Tensor):
        (x, parts), d = ctx.saved_tensors, d.contiguous()
        return tensor_cores.input_gradient(d, parts), tensor_cores.weight_gradient(d, x).to(ctx.dtype)


class _RouterLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        with torch.autocast(x.device.type, enabled=False):
            return x.float() @ w.float().T

    @staticmethod
    @once_differentiable
    def backward(ctx, d: Tensor):
        x, w = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            return (d @ w.float()).to(x.dtype), (d.T @ x.float()).to(w.dtype)
