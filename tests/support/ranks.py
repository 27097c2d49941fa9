"""Several gloo ranks on this machine, without Ray. A fork server imports torch once for all of them."""

import multiprocessing
import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOAD = ["torch._dynamo", "torch.distributed.checkpoint", "torch.distributed.fsdp", "rxt_model.parallelize"]


def on_ranks(world_size, function, *arguments):
    """Run `function(rank, *arguments)` in as many processes with a process group; raises if any of them fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.set_forkserver_preload(PRELOAD)
    mp.start_processes(_run, (world_size, port, function, arguments), nprocs=world_size, start_method="forkserver")


def _run(rank, world_size, port, function, arguments):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        function(rank, *arguments)
    finally:
        dist.destroy_process_group()
