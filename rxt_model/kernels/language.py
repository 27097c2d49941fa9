"""Import Triton. If it is missing, give a stand-in with which kernels can be imported, but not run."""

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
        """Return the function unchanged."""
        return function


__all__ = ["jit", "tl", "triton"]
