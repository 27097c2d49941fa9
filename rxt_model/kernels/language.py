"""Triton, or a stand-in with which the kernels can be imported, but not run, where Triton is missing."""

from __future__ import annotations

from typing import Any

triton: Any
tl: Any
try:
    import triton
    import triton.language as tl

    jit = triton.jit
except ImportError:
    triton = tl = None

    def jit(function):
        """Leave the kernel as it is."""
        return function


__all__ = ["jit", "tl", "triton"]
