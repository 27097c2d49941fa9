"""Choose the experts of each token: fp32 logits that save only their inputs, softmax, and the top-k."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rxt_model.kernels import logits as tensor_cores
from rxt_model.kernels.experts import kernels_run
from rxt_model.kernels.language import triton
from rxt_model.kernels.topk import Selection, select_experts


class Router(nn.Linear):
    """The router of one layer: a module of its own, so that FSDP can gather its weight in fp32, whatever the rest."""

    def __init__(self, dim: int, experts: int) -> None:
        super().__init__(dim, experts, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [T, E] in fp32 for x [T, d] of any dtype."""
        return router_logits(x, self.weight)


def router_logits(x: Tensor, w: Tensor) -> Tensor:
    """Return the logits x w^T [T, E] in fp32, also under autocast, for x [T, d] of any dtype and w [E, d].

    F.linear(x.float(), w) would keep the fp32 copy of x until the backward pass. On a GPU our kernels multiply bf16
    rows; they are nearly as exact as fp32, whatever torch's setting. For other rows that setting
    (`torch.backends.cuda.matmul`) decides how exact an fp32 product is on a GPU.
    """
    if x.dtype == torch.bfloat16 and kernels_run(x) and x.shape[0]:
        with torch.cuda.device(x.device):
            return SplitLogits.apply(x, w)
    return _RouterLogits.apply(x, w)


def select(logits: Tensor, top_k: int, bias: Tensor | None = None) -> Selection:
    """Take the softmax over all experts, and renormalise its `top_k` largest. logits [N, E] fp32 -> `weights` [N, K],
    `chosen` [N, K], the sum of the probabilities of each expert [E], and the log-sum-exp of each row [N].

    `bias` [E] is added to the logits only to find the largest.
    """
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
    """Runs the kernels on any device, for x of 16-bit numbers."""

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
