"""Which experts a token goes to: logits in fp32 that save nothing but their inputs, softmax, the top-k."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels import logits as tensor_cores
from rxt_model.kernels.experts import kernels_run
from rxt_model.kernels.language import triton
from rxt_model.kernels.topk import Selection, select_experts


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


def select(logits: Tensor, top_k: int, bias: Tensor | None = None) -> Selection:
    """Softmax over all experts, the `top_k` largest renormalised: logits [N, E] fp32 -> their weights [N, K], which
    they are [N, K], the sum of the probabilities of each expert [E], and the log-sum-exp of each row [N].

    `bias` [E] is added to the logits where the largest are sought, and nowhere else."""
    if logits.is_cuda and triton is not None and logits.shape[0]:
        with torch.cuda.device(logits.device):
            return select_experts(logits, top_k, bias)
    probabilities = logits.softmax(-1)
    if bias is None:
        weights, chosen = probabilities.topk(top_k, -1)
    else:
        chosen = (logits.detach() + bias).topk(top_k, -1).indices
        weights = probabilities.gather(-1, chosen)
    return Selection(weights / weights.sum(-1, keepdim=True), chosen, probabilities.sum(0), logits.logsumexp(-1))


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
