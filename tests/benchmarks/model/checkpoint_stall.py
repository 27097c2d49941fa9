"""How long a step waits for a checkpoint at the size of `tiny`, and what the whole checkpoint takes.

    python -m tests.benchmarks.model.checkpoint_stall [--rounds 9]

Weights and moments of one rank, to a temporary folder. The step waits for `save`, which copies the state, and a thread
writes the copy. CPU seconds, since machines are shared: of the thread that trains, and of the process. The share is
that of an interval of 30 s. One JSON line is appended to results/checkpoint_stall.jsonl.
"""

from __future__ import annotations

import argparse
import tempfile
from statistics import median
from time import process_time, thread_time

import torch

from jobs.training.checkpoints import Checkpointer
from jobs.training.optimizers.stage import StageOptimizer
from pipelines.presets.tiny import tiny
from rxt_model.model import ReactiveTransformer, seeded
from tests.benchmarks.record import RESULTS, append, environment

INTERVAL = 30.0  # seconds
VOCABULARY = 2560


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = tiny().pretrain
    model = seeded(lambda: ReactiveTransformer(config.model.with_vocabulary(VOCABULARY)), 0)
    optimizer = StageOptimizer(model, config.optimizer, config.steps)
    waited, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        state = {"model": model.state_dict(), "optimizer": optimizer.moments()}
        checkpointer = Checkpointer(
            folder, "", lambda: state, keep=arguments.rounds + 1, rank=0, register=lambda _uri, _step: None
        )
        for step in range(arguments.rounds + 1):
            in_step, in_process = thread_time(), process_time()
            checkpointer.save(step)
            waited.append(thread_time() - in_step)
            checkpointer.finish()
            whole.append(process_time() - in_process)
    tensors = [tensor for part in state.values() for tensor in part.values()]
    line = {
        "benchmark": "checkpoint_stall",
        **environment("torch"),
        "threads": torch.get_num_threads(),
        "megabytes": round(sum(tensor.nbytes for tensor in tensors) / 1e6, 1),
        "turns": arguments.rounds,
        "first_ms": round(1e3 * waited[0], 1),
        "median_ms": round(1e3 * median(waited[1:]), 1),
        "min_ms": round(1e3 * min(waited[1:]), 1),
        "max_ms": round(1e3 * max(waited[1:]), 1),
        "whole_ms": round(1e3 * median(whole[1:]), 1),
        "share": round(median(waited[1:]) / INTERVAL, 5),
    }
    print(f"waits {line['median_ms']} ms (at most {line['max_ms']}) of {line['whole_ms']}: {line['share']:.2%} of 30 s")
    append(RESULTS / "checkpoint_stall.jsonl", [line])


if __name__ == "__main__":
    main()
