"""Run several gloo ranks on this machine, without Ray. A fork server imports what they need once for all of them."""

import multiprocessing
import os
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.support.processes import SECONDS, free_port

PRELOAD = ["pytest", "torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp", "jobs.training.smat"]


def on_ranks(world_size, function, *arguments):
    """Run `function(rank, *arguments)` in as many processes with a process group. Raises if one of them fails, or if
    they have not ended after SECONDS."""
    multiprocessing.set_forkserver_preload(PRELOAD)
    ranks = mp.start_processes(
        _run, (world_size, free_port(), function, arguments), world_size, join=False, start_method="forkserver"
    )
    assert ranks is not None
    deadline = time.monotonic() + SECONDS
    try:
        while not ranks.join(timeout=1):
            assert time.monotonic() < deadline, f"the ranks have not ended after {SECONDS} s"
    finally:
        for process in ranks.processes:
            process.kill()


def _run(rank, world_size, port, function, arguments):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        function(rank, *arguments)
    finally:
        dist.destroy_process_group()
