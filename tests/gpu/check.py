"""Run all checks on a device and print one JSON line for each; see run.sh."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist

from rxt_model.kernels.language import triton
from tests.gpu import kernels, learner, objectives, training

Line = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("check.py: torch finds no GPU; --device cpu tries the same code on a CPU", file=sys.stderr)
        return 2
    device = torch.device("cuda", 0) if arguments.device == "cuda" else torch.device("cpu")
    # the stages train in a process group; here it has one rank
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    failed = False
    with TemporaryDirectory() as scratch:
        checks: dict[str, Callable[[], Iterator[Line]]] = {
            "kernels": lambda: kernels.check(device),
            "objectives": lambda: objectives.check(device, Path(scratch, "objectives")),
            "training": lambda: training.check(device, Path(scratch, "training")),
            "reinforcement": lambda: learner.check(device, Path(scratch, "reinforcement")),
        }
        tell({"check": "machine", **machine(device)})
        for name, check in checks.items():
            began = time.perf_counter()
            try:
                for line in check():
                    failed |= not line["ok"]
                    tell({"check": name, **line, "seconds": round(time.perf_counter() - began, 1)})
                    began = time.perf_counter()
            except Exception as error:  # the other checks go on
                failed = True
                traceback.print_exc()
                tell({"check": name, "ok": False, "error": f"{type(error).__name__}: {error}"[:300]})
    dist.destroy_process_group()
    return int(failed)


def machine(device: torch.device) -> Line:
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    version = None if triton is None else triton.__version__
    return {"device": name, "torch": torch.__version__, "triton": version, "python": platform.python_version()}


def tell(line: Line) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
