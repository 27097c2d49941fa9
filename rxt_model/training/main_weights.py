"""Train in half precision: the passes use half-precision weights, beside which fp32 masters and gradients are kept.

This serves those who train the model on one GPU with a loop of their own and do not want to cast all experts in every
pass. In the stages of the pipeline FSDP does this: it keeps fp32 parts and gathers them in bf16 (`parallelize`).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rxt_model.layers.parts import parts_of
from rxt_model.moe.layer import Experts, MoELayer


class MainWeights:
    """Turns the weights of `module` into `dtype` and keeps fp32 `masters` of all that are trained.

    The masters' `.grad` adds up the gradients of any number of backward passes, also after an optimizer's
    `zero_grad()`. Frozen weights have no masters. Routers stay fp32, since near ties decide which expert computes.

    Routed experts, nearly all of a sparse model, add their gradients in the kernel that computes them. For all other
    weights, and where no kernel runs, autograd makes a gradient, which is added to the master's and dropped.

        main = MainWeights(model)
        optimizer = torch.optim.AdamW(main.masters)
        for batch in batches: loss(batch).backward()      # as many as an optimizer step shall see
        optimizer.step(); main.publish()
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
        self.working: list[Tensor] = [weight for weight in module.parameters() if weight.requires_grad]
        self.masters: list[Tensor] = [nn.Parameter(weight.detach().clone().float()) for weight in self.working]
        routers = {part.router.weight for part in parts_of(module, MoELayer)}
        for weight in module.parameters():
            if weight not in routers:
                weight.data = weight.data.to(dtype)
        master_of = dict(zip(self.working, self.masters, strict=True))
        for weight, master in master_of.items():
            _gradient(master)
            weight.register_post_accumulate_grad_hook(partial(_add, master))
        for part in parts_of(module, Experts):
            if part.w_in in master_of and part.w_out in master_of:
                part.main_gradients = partial(_two_gradients, master_of[part.w_in], master_of[part.w_out])

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the weights, and set the gradients to zero."""
        torch._foreach_copy_(self.working, self.masters)
        torch._foreach_zero_([_gradient(master) for master in self.masters])


def _add(master: Tensor, weight: Tensor) -> None:
    if weight.grad is not None:  # None if a kernel has added it already
        _gradient(master).add_(weight.grad)
        weight.grad = None


def _gradient(master: Tensor) -> Tensor:
    """Return the gradient of a master. An optimizer's `zero_grad` may have dropped it; then it is a new zero."""
    if master.grad is None:
        master.grad = torch.zeros_like(master)
    return master.grad


def _two_gradients(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    return _gradient(first), _gradient(second)
