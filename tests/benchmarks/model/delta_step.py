"""A memory-driven Gated DeltaNet and the attention that it replaces, as layers of RxT-Beta's width.

    python -m tests.benchmarks.model.delta_step [--rounds 5]

Forward and backward in fp32 on one thread: of 4 interactions of 1,024 tokens, and of one of 8,192. Both layers have 8
query heads of width 32 and a gate; the attention has 4 key-value heads. The DeltaNet reads 256 slots. CPU seconds,
since machines are shared; both layers take turns. One JSON line per layer and length is appended to
results/delta_step.jsonl.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import process_time

import torch

from rxt_model.config import AttentionConfig, DeltaConfig
from rxt_model.delta.layer import GatedDelta, MemoryDrive
from rxt_model.delta.sequences import Sequences
from rxt_model.layers.attention import SelfAttention
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import rope
from tests.benchmarks.model.allocator import as_by_default
from tests.benchmarks.record import RESULTS, append, environment

DIM, WIDTH, HEADS, SLOTS = 512, 32, 8, 256
SHAPES = {1024: 4, 8192: 1}  # length: interactions
TARGETS = {1024: 1.3, 8192: 1.0}


def steps(length: int, rows: int) -> dict[str, Callable[[], None]]:
    """Return a step of each layer."""
    torch.manual_seed(0)
    attention = SelfAttention(DIM, WIDTH, AttentionConfig(HEADS, HEADS // 2, gate="elementwise"))
    config = DeltaConfig(HEADS)
    delta, drive = GatedDelta(DIM, WIDTH, config, 1e-6), MemoryDrive(DIM, WIDTH, config)
    torch.nn.init.normal_(delta.conv, std=0.5)
    x = torch.randn(rows * length, DIM, requires_grad=True)
    slots = torch.randn(rows, SLOTS, DIM)
    layout, positions = Layout(rows, length, None), torch.arange(length).repeat(rows)
    turned = rope(positions, WIDTH, 1e5)

    def attend() -> None:
        attention(x, turned, layout, causal=True).sum().backward()

    def recur() -> None:
        sequences = Sequences.of_documents(layout, positions)
        delta(x, layout, sequences, drive(slots)).sum().backward()

    return {"attention": attend, "delta": recur}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    allocator = as_by_default()
    torch.set_num_threads(1)
    for length, rows in SHAPES.items():
        layers = steps(length, rows)
        seconds: dict[str, list[float]] = {name: [] for name in layers}
        for _ in range(arguments.rounds + 1):
            for name, step in layers.items():
                begun = process_time()
                step()
                seconds[name].append(process_time() - begun)
        peer = median(seconds["attention"][1:])
        lines = []
        for name, turns in seconds.items():
            turns = turns[1:]
            lines.append({
                "benchmark": "delta_step",
                **environment("torch"),
                "threads": torch.get_num_threads(),
                "allocator": allocator,
                "case": name,
                "length": length,
                "rows": rows,
                "turns": len(turns),
                "median_ms": round(1e3 * median(turns), 1),
                "min_ms": round(1e3 * min(turns), 1),
                "max_ms": round(1e3 * max(turns), 1),
                "to_attention": round(median(turns) / peer, 3),
                "target": TARGETS[length],
            })  # fmt: skip
            print(f"{length:6} {name:9} {lines[-1]['median_ms']:8.1f} ms, {lines[-1]['to_attention']} of attention")
        append(RESULTS / "delta_step.jsonl", lines)


if __name__ == "__main__":
    main()
