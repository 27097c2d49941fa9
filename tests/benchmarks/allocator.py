"""One allocator for every timing on a CPU: the system's malloc as a user has it, whatever the shell has set."""

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
    """What lines say about the allocator. Where variables change it, the program begins again without them, as malloc
    has read them before Python can."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CHANGED_BY)}
    if len(kept) < len(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, kept)
    return "default"
