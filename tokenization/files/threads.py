"""Many reads at a time: an object store answers each in tens of milliseconds, and there may be thousands of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16


def map_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`[function(item) for item in items]`, several at a time. Of several errors that of the first item is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))
