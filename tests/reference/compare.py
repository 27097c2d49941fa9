"""Check that the model agrees with its equations: in values, and in gradients of a random weighting of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter at random. Fresh norms, biases and gates are constants, which would hide what they do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module


def assert_agree(found: Tensor, expected: Tensor, leaves: Mapping[str, Tensor], tolerance: float = 1e-9) -> None:
    """Check that values are equal, and gradients with respect to all `leaves`, at least one of which must have some."""
    _assert_close("value", found, expected, tolerance)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    gradients = [
        torch.autograd.grad((side * weight).sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
        for side in (found, expected)
    ]
    for name, mine, theirs in zip(leaves, *gradients, strict=True):
        _assert_close(f"gradient of {name}", mine, theirs, tolerance)
    assert any(gradient.any() for gradient in gradients[1])


def _assert_close(what: str, found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(
        found, expected, rtol=tolerance, atol=tolerance, msg=lambda message: f"{what}: {message}"
    )
