"""Put large new CPU tensors into huge pages: the first write then faults once per 2 MB instead of once per 4 KB."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import Tensor

PAGE_BYTES = 2 << 20
_MADV_HUGEPAGE = 14  # <linux/mman.h>


def empty_like(tensor: Tensor) -> Tensor:
    """Return `torch.empty_like`, contiguous.

    On Linux the kernel is asked to back a large CPU tensor with huge pages. If it does not, the pages are small as
    usual. On other systems and devices this is plain `torch.empty_like`.
    """
    fresh = torch.empty_like(tensor, memory_format=torch.contiguous_format)
    plain = type(fresh) is Tensor and fresh.device.type == "cpu"  # subclasses may have no memory of their own
    if plain and sys.platform == "linux" and fresh.nbytes >= 2 * PAGE_BYTES:
        first = -(-fresh.data_ptr() // PAGE_BYTES) * PAGE_BYTES
        size = (fresh.data_ptr() + fresh.nbytes - first) // PAGE_BYTES * PAGE_BYTES
        _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), _MADV_HUGEPAGE)
    return fresh


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
