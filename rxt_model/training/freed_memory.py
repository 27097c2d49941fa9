"""Keep the memory that a step frees for the next step. By default the C library gives large blocks back to the kernel,
and the next step faults once for each of their pages: an eighth of the time of a step of `tiny` on CPUs."""

from __future__ import annotations

import ctypes
import sys

_TRIM, _MMAP = -1, -3  # <malloc.h> of glibc
LARGEST_BLOCK = 1 << 30  # bytes; larger blocks are given back
LARGEST_REST = (1 << 31) - 1  # bytes at the end of the heap; more is given back


def keep_freed_memory() -> None:
    """Let this process keep what it frees. It changes nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP, LARGEST_BLOCK)
        mallopt(_TRIM, LARGEST_REST)
