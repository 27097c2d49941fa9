"""Who writes: a record of this process that others can look up later, if they run where its process id means it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """JSON: host, process table, process id, and when that process began (seconds since the epoch)."""
    return {
        "host": socket.gethostname(),
        "processes": _process_table(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def is_local(record: Mapping[str, Any]) -> bool:
    """Can we look that process up?"""
    return record["processes"] == _process_table()


def is_gone(record: Mapping[str, Any]) -> bool:
    """A local process that is no more; a process id that was given to another program counts as gone."""
    if not is_local(record):
        return False
    try:
        process = psutil.Process(record["pid"])
        other = abs(process.create_time() - record["started"]) > 2  # the clock may have been set meanwhile
        return other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _process_table() -> str:
    """Names the machine since its start, and the container: where our process ids mean something."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    return f"{boot.read_text().strip()} {space.readlink()}" if boot.exists() else socket.gethostname()
