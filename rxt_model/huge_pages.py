"""Large fresh tensors on a CPU in huge pages: a page fault per 2 MB of what is written first instead of per 4 KB."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import Tensor

PAGE_BYTES = 2 << 20
_MADV_HUGEPAGE = 14  # <linux/mman.h>


def empty_like(tensor: Tensor) -> Tensor:
    """`torch.empty_like`, contiguous. On Linux the kernel is asked to back what fills whole pages with huge ones; where
    it does not, pages are small as ever. Elsewhere than in the memory of a CPU this is `torch.empty_like` alone."""
    fresh = torch.empty_like(tensor, memory_format=torch.contiguous_format)
    plain = type(fresh) is Tensor and fresh.device.type == "cpu"  # others may have no memory of their own
    if plain and sys.platform == "linux" and fresh.nbytes >= 2 * PAGE_BYTES:
        first = -(-fresh.data_ptr() // PAGE_BYTES) * PAGE_BYTES
        size = (fresh.data_ptr() + fresh.nbytes - first) // PAGE_BYTES * PAGE_BYTES
        _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), _MADV_HUGEPAGE)
    return fresh


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
