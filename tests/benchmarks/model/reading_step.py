"""A step of reading raw states at the size of `tiny`, with pointers at the scored tokens alone and with all of them.

    python -m tests.benchmarks.model.reading_step [--rounds 9]

16 conversations of 400 states each, 4 turns of 48 tokens that ask, of which 14 tokens are scored. Forward and backward
of the decoder in fp32 on one thread. The peer (`every`) computes the output at all tokens and takes the scored ones
from it. CPU seconds, since machines are shared; both take turns, from the same weights. One JSON line per case is
appended to results/reading_step.jsonl.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import process_time

import torch
from torch import Tensor

from pipelines.presets.tiny import tiny
from rxt_model.losses import following
from rxt_model.model import ReactiveTransformer, seeded
from tests.benchmarks.model.allocator import as_by_default
from tests.benchmarks.record import RESULTS, append, environment

CONVERSATIONS, TURNS, LENGTH, SCORED, STATES = 16, 4, 48, 14, 400
CONFIG = tiny().pretrain.model.with_vocabulary(2560)


class Reading:
    """A model and a batch; `step` adds the CPU milliseconds of one step to `milliseconds`, and its loss to `losses`."""

    def __init__(self, *, every: bool) -> None:
        self.every = every
        self.model = seeded(lambda: ReactiveTransformer(CONFIG), 0)
        draw = torch.Generator().manual_seed(0)
        c, rows = CONFIG, CONVERSATIONS * TURNS
        self.ids = torch.randint(c.tokens.highest + 1, c.vocab_size, (rows, LENGTH), generator=draw)
        self.held = torch.randint(c.tokens.highest + 1, c.vocab_size, (CONVERSATIONS, STATES), generator=draw)
        self.states = torch.randn(c.stateful_layers, CONVERSATIONS, STATES, c.slot_dim, generator=draw)
        self.states[..., -1] = torch.arange(STATES).flip(0) // 40  # ten interactions
        self.selected = torch.zeros(rows, LENGTH - 1, dtype=torch.bool)
        self.selected[:, -SCORED:] = True
        self.milliseconds: list[float] = []
        self.losses: list[Tensor] = []

    def step(self) -> None:
        self.model.zero_grad()
        begun = process_time()
        selected = None if self.every else self.selected
        output = self.model.decode(self.ids, self.states, memory_ids=self.held, selected=selected)
        loss = following(self.model.decoder.head, output, self.ids, self.selected).loss
        loss.backward()
        self.milliseconds.append(1e3 * (process_time() - begun))
        self.losses.append(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    allocator = as_by_default()
    torch.set_num_threads(1)
    cases = {"every": Reading(every=True), "selected": Reading(every=False)}
    for _ in range(arguments.rounds + 1):
        for case in cases.values():
            case.step()
    torch.testing.assert_close(cases["selected"].losses[0], cases["every"].losses[0], rtol=1e-5, atol=0)
    peer = median(cases["every"].milliseconds[1:])
    lines = []
    for name, case in cases.items():
        turns = case.milliseconds[1:]
        lines.append({
            "benchmark": "reading_step",
            **environment("torch"),
            "threads": torch.get_num_threads(),
            "allocator": allocator,
            "case": name,
            "scored": int(case.selected.sum()),
            "tokens": case.ids.numel(),
            "states": STATES,
            "turns": len(turns),
            "median_ms": round(median(turns), 1),
            "min_ms": round(min(turns), 1),
            "max_ms": round(max(turns), 1),
            "to_every": round(median(turns) / peer, 3),
        })  # fmt: skip
        print(f"{name:8} {lines[-1]['median_ms']:8.1f} ms [{min(turns):.1f}, {max(turns):.1f}]")
    append(RESULTS / "reading_step.jsonl", lines)


if __name__ == "__main__":
    main()
