"""A record of this process, so that another process can look up later whether it still lives.

No wall clock is part of it, since somebody may set that clock: a process is told apart from later ones with the same
number by the tick of the machine's life at which it began.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ENDED = "ZXx"  # states of a process that has ended and waits to be collected; proc(5)


def this_process() -> dict[str, Any]:
    """Plain data: host, process table, process id, and when the process began (clock ticks since the machine
    started)."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "processes": _process_table(), "pid": pid, "started": _look_at(pid)[1]}


def is_local(record: Mapping[str, Any]) -> bool:
    """Whether that process belongs to a process table that we can see."""
    return record["processes"] == _process_table()


def is_gone(record: Mapping[str, Any]) -> bool:
    """Whether a local process has ended. A process id that was given to another program counts as ended."""
    if not is_local(record):
        return False
    try:
        state, started = _look_at(record["pid"])
    except (OSError, psutil.NoSuchProcess):  # there is none, or /proc hides those of other users
        return not _exists(record["pid"])
    return state in ENDED or started != record["started"]


def _look_at(pid: int) -> tuple[str, float]:
    """The state of a process, and when it began. Raises OSError or NoSuchProcess if it cannot be seen."""
    if not Path("/proc/self/stat").exists():
        process = psutil.Process(pid)
        return "Z" if process.status() == psutil.STATUS_ZOMBIE else "", process.create_time()
    # proc(5): the name, field 2, is in parentheses and may hold anything; 3 is the state, 22 the start in ticks
    after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return after_name[0].decode(), int(after_name[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _process_table() -> str:
    """A name for the set of processes that we can see: the start of the machine, the container, and the origin of its
    ticks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return socket.gethostname()
    spaces = [Path(f"/proc/self/ns/{kind}") for kind in ("pid", "time")]
    return " ".join([boot.read_text().strip(), *(str(space.readlink()) for space in spaces if space.exists())])
