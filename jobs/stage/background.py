"""Work beside the main thread that never keeps the process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_background(call: Callable[[], T], name: str) -> Future[T]:
    """Run `call` on a daemon thread, so that a process that must leave does not wait for it."""
    future: Future[T] = Future()

    def target() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # asking for the result raises it again
            future.set_exception(error)

    threading.Thread(target=target, name=name, daemon=True).start()
    return future
