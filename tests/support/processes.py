"""Start processes of tests. Every wait for one has a limit, and none outlives its test."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

SECONDS = 480  # the limit of one wait: several times what the slowest command takes on two busy cores


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(command: Sequence[str | Path], seconds: float = SECONDS, **options: Any) -> Generator[subprocess.Popen]:
    """Start a process with the `options` of Popen. It is killed, with all that it started, at the end of the block or
    after `seconds`, so no wait for it or for its output lasts longer."""
    with subprocess.Popen(command, **options) as process:
        limit = threading.Timer(seconds, kill_with_children, [process])
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            kill_with_children(process)


def kill_with_children(process: subprocess.Popen) -> None:
    """Kill a process with all that it started. Do nothing if it has ended."""
    if process.poll() is None:
        leader = psutil.Process(process.pid)
        for member in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                member.kill()


def until(happened: Callable[[], Any], process: subprocess.Popen | None = None, seconds: float = SECONDS) -> None:
    """Return as soon as `happened` is true. Fail after `seconds`, or if `process` ends before."""
    since = time.monotonic()
    while not happened():
        assert process is None or process.poll() is None, f"the process ended with {process.returncode}"
        assert time.monotonic() - since < seconds, f"it did not happen within {seconds} s"
        time.sleep(0.01)


def end_processes_of(test: str) -> None:
    """Kill what a test started and left behind. Pytest names the test in the environment of each process."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("PYTEST_CURRENT_TEST") == f"{test} (call)":
                process.kill()
