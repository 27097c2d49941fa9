"""Page faults of a process that asks for the same large block again and again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from rxt_model.training.freed_memory import keep_freed_memory
{first}
for _ in range(20):
    torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(1 << 24)  # 64 MiB, or 16,384 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True, timeout=120
    )
    assert not done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps it on request")
def test_a_freed_block_is_used_again_without_new_pages():
    kept, given_back = faults("keep_freed_memory()"), faults("")
    assert kept < 100 < given_back
