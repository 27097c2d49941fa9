"""A record of this process, so that another process can look up later whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """Plain data: host, process table, process id, and when the process began (seconds since the epoch)."""
    return {
        "host": socket.gethostname(),
        "processes": _process_table(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def is_local(record: Mapping[str, Any]) -> bool:
    """Whether that process belongs to a process table that we can see."""
    return record["processes"] == _process_table()


def is_gone(record: Mapping[str, Any]) -> bool:
    """Whether a local process has ended. A process id that was given to another program counts as ended."""
    if not is_local(record):
        return False
    try:
        process = psutil.Process(record["pid"])
        other = abs(process.create_time() - record["started"]) > 2  # the clock may have been set meanwhile
        return other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _process_table() -> str:
    """A name for the set of processes that we can see: the start of the machine, and the container."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    return f"{boot.read_text().strip()} {space.readlink()}" if boot.exists() else socket.gethostname()
