"""Time to the first token against the turn number: a memory of fixed size beside a history that is read again."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from jobs.recall import Ids, ReactiveSpeaker, StatelessSpeaker, pad
from rxt_model import generate
from rxt_model.baseline import StatelessDecoder
from rxt_model.model import ReactiveTransformer

REPEATS = 7


def device_name() -> str:
    """The processor as it calls itself, for tables of times."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def turn_grid(last: int) -> list[int]:
    """1, 2, 4 … and `last`."""
    return sorted({last} | {2**i for i in range(last.bit_length()) if 2**i <= last})


def state_bytes(model: ReactiveTransformer) -> int:
    """Bytes of one conversation's short-term memory; the same at every turn."""
    memory = model.initial_memory(1)
    return memory.numel() * memory.element_size()


def history_bytes(model: StatelessDecoder, tokens: int) -> int:
    """Bytes of keys and values of `tokens` tokens: what the baseline would keep in order not to read them again."""
    c = model.config
    layers = c.initial_layers + c.stateful_layers + c.final_layers
    per_token = 2 * c.decoder_attention.kv_heads * c.head_dim
    return layers * per_token * tokens * next(model.parameters()).element_size()


@torch.inference_mode()
def measure(
    model: ReactiveTransformer, baseline: StatelessDecoder, interactions: Sequence[tuple[Ids, Ids]], last: int
) -> list[dict[str, Any]]:
    """One record per turn of the grid, medians in seconds of REPEATS single-row answers, both models in turn.

    `interactions` (query, answer) are repeated in a circle; every conversation asks the first query, so that only what
    came before differs. `write_seconds` (encode and write) is spent after the answer and delays no token.
    """
    reactive, stateless = ReactiveSpeaker(model), StatelessSpeaker(baseline)
    reactive.begin([0])
    stateless.begin([0])
    question = interactions[0][0]
    records = []
    for turn in range(1, last + 1):
        interaction = sum(interactions[(turn - 1) % len(interactions)], [])
        if turn in turn_grid(last):
            prompt = stateless.histories[0] + question
            first, write, again = _medians(
                partial(generate.answer, model, reactive.memory, [question], max_tokens=[1]),
                partial(_write, model, reactive.memory, interaction),
                partial(generate.answer, baseline, None, [prompt], max_tokens=[1]),
            )
            records.append(
                {
                    "turn": turn,
                    "history_tokens": len(prompt) - len(question),
                    "rxt_seconds": first,
                    "write_seconds": write,
                    "baseline_seconds": again,
                    "rxt_bytes": state_bytes(model),
                    "baseline_bytes": history_bytes(baseline, len(prompt)),
                }
            )
        reactive.remember([0], [interaction])
        stateless.remember([0], [interaction])
    return records


def _write(model: ReactiveTransformer, memory: Tensor, interaction: Ids) -> Tensor:
    ids, mask = pad([interaction])
    return model.write(memory, model.encode(ids, mask), mask)


def _medians(*calls: Callable[[], object]) -> list[float]:
    """Interleaved, so that a busy moment of the machine falls on all alike; the first round warms up."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS + 1):
        for call, taken in zip(calls, times, strict=True):
            start = perf_counter()
            call()
            taken.append(perf_counter() - start)
    return [median(taken[1:]) for taken in times]
