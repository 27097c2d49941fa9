"""Training in half precision: fp32 masters and gradients beside the half-precision weights that the passes use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rxt_model.moe import Experts, MoELayer


class MainWeights:
    """Turns the weights of `module` into `dtype` (routers stay fp32: near ties decide who computes) and keeps fp32
    `masters` of all of them, whose `.grad` gathers the gradients of any number of backward passes.

    Routed experts, nearly all of a sparse model, add theirs in the kernel that computes them; where no kernel runs, and
    for all other weights, a gradient is added to its master's when autograd has made it, and dropped.

        main = MainWeights(model)
        optimizer = torch.optim.AdamW(main.masters)
        for batch in batches: loss(batch).backward()      # as many as an optimizer step shall see
        optimizer.step(); main.publish()
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
        self.working = list(module.parameters())
        self.masters = [nn.Parameter(weight.detach().clone().float()) for weight in self.working]
        routers = {part.router.weight for part in module.modules() if isinstance(part, MoELayer)}
        for weight, master in zip(self.working, self.masters, strict=True):
            if weight not in routers:
                weight.data = weight.data.to(dtype)
            master.grad = torch.zeros_like(master)
            weight.register_post_accumulate_grad_hook(lambda weight, total=master.grad: _add(weight, total))
        gradients = {id(w): master.grad for w, master in zip(self.working, self.masters, strict=True)}
        for part in module.modules():
            if isinstance(part, Experts):
                part.main_gradients = gradients[id(part.w_in)], gradients[id(part.w_out)]

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the weights and start new gradients."""
        torch._foreach_copy_(self.working, self.masters)
        torch._foreach_zero_([master.grad for master in self.masters])


def _add(weight: Tensor, total: Tensor) -> None:
    if weight.grad is not None:  # None where a kernel has added it already
        total += weight.grad
        weight.grad = None
