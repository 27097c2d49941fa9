"""Read many files at a time. An object store takes tens of milliseconds for each, and there may be thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16


def map_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return `[function(item) for item in items]`, several at a time. Raises the error of the first failed item."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))
