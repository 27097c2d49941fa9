"""MinHash signatures with numpy alone: of sets of hashes, the least value under each of many random permutations.

A. Broder, On the resemblance and containment of documents (1997). A permutation is a multiplication by an odd number
and an addition, modulo 2^64, of which the upper half counts (Dietzfelbinger et al., 1997).
"""

from __future__ import annotations

import functools

import numpy as np

from tokenization.hashing import stable_hash

EMPTY = np.uint32(0xFFFFFFFF)  # each value of an empty set


def minima(hashes: np.ndarray, offsets: np.ndarray, permutations: int) -> np.ndarray:
    """Of each set `hashes[offsets[i] : offsets[i + 1]]`, uint64, the least values, uint32 [D, permutations]."""
    found = np.full((len(offsets) - 1, permutations), EMPTY)
    begins, ends = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    filled = np.flatnonzero(begins < ends)
    if len(filled):
        for number in range(permutations):
            factor, added = _numbers(number)
            values = ((hashes * factor + added) >> np.uint64(32)).astype(np.uint32)
            found[filled, number] = np.minimum.reduceat(values, begins[filled])
    return found


@functools.cache
def _numbers(permutation: int) -> tuple[np.uint64, np.uint64]:
    return np.uint64(stable_hash(f"factor {permutation}") | 1), np.uint64(stable_hash(f"added {permutation}"))
