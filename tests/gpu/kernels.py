"""What the kernels compute in bf16, against the equations in fp64 on the CPU. On a CPU the same calls run without
kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from rxt_model.layers.linear_cross_entropy import linear_cross_entropy
from rxt_model.moe.experts import routed_experts
from rxt_model.moe.router import router_logits, select

LIMIT = 2e-2  # relative, of values that are rounded to bf16 several times
TOKENS, DIM, WIDTH, EXPERTS, TOP_K = 700, 128, 192, 16, 4
LOADS: dict[str, Callable[[], Tensor]] = {
    "balanced": lambda: torch.stack([torch.randperm(EXPERTS)[:TOP_K] for _ in range(TOKENS)]),
    "collapsed": lambda: torch.stack([torch.randperm(TOP_K) for _ in range(TOKENS)]),
    "empty experts": lambda: torch.stack([8 + torch.randperm(8)[:TOP_K] for _ in range(TOKENS)]),
}


def check(device: torch.device) -> Iterator[dict]:
    for load, draw in LOADS.items():
        yield judged(f"experts, {load}", experts(device, draw))
    yield judged("cross entropy", head(device))
    yield judged("router", router(device))


def judged(name: str, errors: dict[str, float]) -> dict:
    return {"what": name, "ok": all(error < LIMIT for error in errors.values()), "errors": errors}


def relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return round(((found - expected).norm() / expected.norm()).item(), 6)


def both(device: torch.device, *tensors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return bf16 tensors on the device, and the same numbers in fp64 on the CPU. All want gradients."""
    rounded = [tensor.bfloat16() for tensor in tensors]
    ours = [tensor.to(device, copy=True).requires_grad_() for tensor in rounded]
    return ours, [tensor.double().requires_grad_() for tensor in rounded]


def experts(device: torch.device, draw: Callable[[], Tensor]) -> dict[str, float]:
    torch.manual_seed(0)
    chosen, weights = draw(), torch.rand(TOKENS, TOP_K)
    ours, theirs = both(
        device,
        torch.randn(TOKENS, DIM),
        torch.randn(EXPERTS, DIM, 2 * WIDTH) / DIM**0.5,
        torch.randn(EXPERTS, WIDTH, DIM) / WIDTH**0.5,
    )
    y, counts = routed_experts(ours[0], weights.to(device), chosen.to(device), ours[1], ours[2])
    assert torch.equal(counts.long().cpu(), chosen.flatten().bincount(minlength=EXPERTS))
    x, w_in, w_out = theirs
    expected = torch.zeros(TOKENS, DIM, dtype=torch.float64)
    for expert in chosen.unique().tolist():
        linear, gate = (x @ w_in[expert]).chunk(2, -1)
        share = (weights.double() * (chosen == expert)).sum(1, keepdim=True)
        expected = expected + share * ((linear * F.silu(gate)) @ w_out[expert])
    slope = torch.randn(TOKENS, DIM).bfloat16()
    y.backward(slope.to(device))
    expected.backward(slope.double())
    found = {"output": relative(y, expected)}
    return found | {
        f"gradient of {name}": relative(mine.grad, other.grad)
        for name, mine, other in zip(("x", "w_in", "w_out"), ours, theirs, strict=True)
    }


def head(device: torch.device) -> dict[str, float]:
    torch.manual_seed(1)
    labels = torch.randint(0, 5000, (300,))
    ours, theirs = both(device, torch.randn(300, 64), torch.randn(5000, 64) / 8)
    found = linear_cross_entropy(ours[0], ours[1], None, labels.to(device))
    expected = F.cross_entropy(theirs[0] @ theirs[1].T, labels, reduction="sum")
    found.loss.backward()
    expected.backward()
    return {
        "loss": relative(found.loss, expected),
        "gradient of rows": relative(ours[0].grad, theirs[0].grad),
        "gradient of weight": relative(ours[1].grad, theirs[1].grad),
    }


def router(device: torch.device) -> dict[str, float]:
    """Compare the sorted weights, since near ties may name other experts."""
    torch.manual_seed(2)
    (x,), (wide,) = both(device, torch.randn(TOKENS, DIM))
    w = torch.randn(EXPERTS, DIM) / DIM**0.5
    logits = router_logits(x, w.to(device))
    expected = wide @ w.double().T
    top = expected.softmax(-1).topk(TOP_K, -1).values
    weights = select(logits, TOP_K).weights.sort(-1, descending=True).values
    return {"logits": relative(logits, expected), "weights": relative(weights, top / top.sum(-1, keepdim=True))}
