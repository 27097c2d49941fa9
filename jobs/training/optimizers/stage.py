"""AdamW, and Muon if asked for, with a learning rate that depends on the step, global clipping, staged unfreezing."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from jobs.configs.training import OptimizerConfig
from jobs.training.optimizers.muon import Muon


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """The learning rate at `step` (from 0). It warms up linearly, stays constant, then falls over the last `decay` of
    the stage in a half cosine to `final_lr` x lr at the last step."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    start = max(config.warmup_steps, round((1 - config.decay) * steps))
    fallen = min(1.0, max(0, step - start) / max(1, steps - 1 - start))
    return config.lr * (config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * fallen)))


class StageOptimizer:
    """The optimizer of one stage: Muon for the hidden matrices if `config.matrices` is "muon", AdamW for the rest.

    Everything but the moments follows from the step, so checkpoints hold the moments.
    """

    def __init__(self, module: nn.Module, config: OptimizerConfig, steps: int) -> None:
        self.module, self.config, self.steps = module, config, steps
        hidden, other, plain = _kinds(module)
        by_muon, by_adamw = (hidden, other) if config.matrices == "muon" else ([], hidden + other)
        groups = [
            {"params": by_adamw, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        self.muon = Muon(by_muon, config.weight_decay)
        self._allocate()

    def begin(self, step: int, trained: list[nn.Module]) -> None:
        """Prepare `step`; call this before the forward pass. Only the parameters of `trained` get gradients. The others
        and their moments do not change, not even by weight decay."""
        active = {parameter for part in trained for parameter in part.parameters()}
        for parameter in self.module.parameters():
            parameter.requires_grad_(parameter in active)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate(self.config, step, self.steps)

    def step(self) -> Tensor:
        """Clip by the global norm, update, and drop the gradients. Returns the norm before clipping."""
        norm = self.clip()
        self.update()
        return norm

    def clip(self) -> Tensor:
        """Clip the gradients by the global norm. Returns the norm before."""
        return clip(list(self.module.parameters()), self.config.clip)

    def update(self) -> None:
        """Update by the clipped gradients, and drop them."""
        self.adamw.step()
        self.muon.step(self.lr)
        self.drop()

    def drop(self) -> None:
        """Forget the gradients."""
        self.module.zero_grad()

    @property
    def lr(self) -> float:
        """The current learning rate."""
        return self.adamw.param_groups[0]["lr"]

    def moments(self) -> dict[str, Tensor]:
        """The state by parameter name. These are the optimizer's own tensors, so a checkpoint is loaded into them."""
        state = {**self.adamw.state, **self.muon.state}
        return {
            f"{name}.{key}": value
            for name, parameter in self.module.named_parameters()
            for key, value in state[parameter].items()
        }

    def _allocate(self) -> None:
        """Make AdamW's moments at the start, so that every checkpoint has the same tensors, whatever was frozen."""
        for group in self.adamw.param_groups:
            for parameter in group["params"]:
                self.adamw.state[parameter] = {
                    "step": torch.tensor(0.0, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }


def clip(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Scale all gradients so that their joint norm is at most `limit`. Returns the norm before.

    The ranks' squared norms add up, as each rank holds a part of every sharded parameter, on any mesh. A part that
    several ranks hold counts once.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    parts = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
    of_copies: dict[int, list[Tensor]] = {}
    for gradient, part in zip(gradients, parts, strict=True):
        of_copies.setdefault(_copies(gradient), []).append(part)
    shares = [torch.nn.utils.get_total_norm(same).square() / copies for copies, same in of_copies.items()]
    square = torch.stack(shares).sum() if shares else torch.zeros(())
    if any(isinstance(gradient, DTensor) for gradient in gradients):
        dist.all_reduce(square)
    norm = square.sqrt()
    torch._foreach_mul_(parts, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _copies(gradient: Tensor) -> int:
    """How many ranks hold the same part of a gradient."""
    if not isinstance(gradient, DTensor):
        return 1
    sizes = zip(gradient.device_mesh.shape, gradient.placements, strict=True)
    return math.prod(size for size, placement in sizes if placement.is_replicate())


def _kinds(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """The hidden matrices, also stacked; the other matrices, which are heads with a row per token and those with a side
    of 1; and what does not decay: vectors, scalars, stacks of one vector per slot, expert or channel, embeddings."""
    embeddings = [part for part in module.modules() if isinstance(part, nn.Embedding)]
    vocabularies = {part.num_embeddings for part in embeddings}
    hidden, other, plain = [], [], []
    for name, parameter in module.named_parameters():
        vectors = parameter.dim() < 2 or name.endswith(("slot_identity", "b_in", "b_out", ".conv"))
        if vectors or any(parameter is part.weight for part in embeddings):
            plain.append(parameter)
        elif parameter.shape[0] in vocabularies or 1 in parameter.shape[-2:]:
            other.append(parameter)
        else:
            hidden.append(parameter)
    return hidden, other, plain
