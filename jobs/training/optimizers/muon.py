"""Muon: every step moves a matrix by its momentum, orthogonalised. For stacked and sharded matrices, too.

The method is Keller Jordan's (https://kellerjordan.github.io/posts/muon), scaled as in "Muon is Scalable for LLM
Training" (arXiv 2502.16982), so that an update is as large as AdamW's and takes its learning rate and weight decay.
`torch.optim.Muon` does the same for whole 2-D weights alone: it refuses stacks of experts, and rounds to bfloat16 on a
CPU, too, where the rounding makes two layouts differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-7


class Muon:
    """Updates matrices [..., m, n]; all dimensions but the last two count them. `weight_decay` is as in AdamW.

    `state` has one `momentum_buffer` per parameter, from the start on.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], weight_decay: float) -> None:
        self.weight_decay = weight_decay
        self.state = {parameter: {"momentum_buffer": torch.zeros_like(parameter)} for parameter in matrices}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update the matrices that have a gradient. If some are sharded, all ranks must call this together."""
        for parameter, state in self.state.items():
            if parameter.grad is None:
                continue
            momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - MOMENTUM)
            update = orthogonal(parameter.grad.lerp(momentum, MOMENTUM))  # Nesterov's
            size = 0.2 * math.sqrt(max(parameter.shape[-2:]))
            parameter.mul_(1 - lr * self.weight_decay).add_(update, alpha=-lr * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices [..., m, n] with the same singular vectors and singular values near 1 (0.6 to 1.2).

    Singular values below about 1e-3 of the Frobenius norm stay smaller, and zeros stay zeros. Of a sharded tensor, each
    rank gathers the matrices that it holds a part of, and keeps its part of the result. Whole experts do not travel.
    """
    if not isinstance(matrices, DTensor):
        return _newton_schulz(matrices)
    stacked = matrices.dim() - 2
    placements = [
        place if any(place.is_shard(dim) for dim in range(stacked)) else Replicate() for place in matrices.placements
    ]
    whole = matrices.redistribute(placements=placements)
    result = DTensor.from_local(
        _newton_schulz(whole.to_local()),
        matrices.device_mesh,
        placements,
        run_check=False,
        shape=whole.shape,
        stride=whole.stride(),
    )
    return result.redistribute(placements=matrices.placements)


def _newton_schulz(matrices: Tensor) -> Tensor:
    """Iterate X -> a X + b (X X') X + c (X X')^2 X, in bfloat16 on a GPU and in fp32 on a CPU."""
    a, b, c = COEFFICIENTS
    x = matrices.reshape(-1, *matrices.shape[-2:])
    if tall := x.shape[-2] > x.shape[-1]:
        x = x.mT
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=SMALLEST_NORM)
    if x.is_cuda:
        x = x.bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape).to(matrices.dtype).contiguous()
