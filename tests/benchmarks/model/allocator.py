"""Use one allocator for every timing on a CPU: the system's malloc with its defaults, whatever the shell has set."""

from __future__ import annotations

import os
import sys

# beginnings of names of variables
CHANGED_BY = (
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_",
    "PYTHONMALLOC",
    "THP_MEM_ALLOC_ENABLE",
)


def as_by_default() -> str:
    """Return what result lines say about the allocator. If environment variables change it, start the program again
    without them, since malloc reads them before Python can change them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CHANGED_BY)}
    if len(kept) < len(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, kept)
    return "default"
