"""Hash texts to numbers that are the same in every process, unlike Python's own `hash`."""

from __future__ import annotations

from hashlib import blake2b, sha256


def stable_hash(text: str) -> int:
    """Return 64 bits of a text: for ids, for keys of equal texts, and for draws that only the text decides."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def stable_seed(*parts: object) -> int:
    """Return 63 bits of the texts of `parts`, in order. They seed torch, which wants seeds below 2**63."""
    digest = sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1
