"""Router logits in fp32 that save nothing but their inputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def router_logits(x: Tensor, w: Tensor) -> Tensor:
    """x [T, d] of any dtype, w [E, d] -> x w^T [T, E] in fp32, also under autocast.

    F.linear(x.float(), w) would keep the fp32 copy of x until the backward pass. How exact an fp32 product is on a GPU
    is torch's setting (`torch.backends.cuda.matmul`).
    """
    return _RouterLogits.apply(x, w)


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
