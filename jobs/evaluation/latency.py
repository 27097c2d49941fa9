"""Time to the first token against the turn number: a memory of fixed size beside a history that is read again."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from jobs.evaluation.recall import Ids
from rxt_model import generate
from rxt_model.baseline import StatelessDecoder
from rxt_model.model import ReactiveTransformer
from rxt_model.state import remember

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


@dataclass(frozen=True)
class TimedTurn:
    """A conversation before its `turn`, whose first token is timed: what each model has kept of it, and the query that
    comes. `prompt` is that query behind the whole history, for the model that has no memory [L, 1, S, d]."""

    turn: int
    memory: Tensor
    prompt: Ids
    query: Ids
    interaction: Ids


@torch.inference_mode()
def timed_turns(model: ReactiveTransformer, interactions: Sequence[tuple[Ids, Ids]], last: int) -> list[TimedTurn]:
    """The turns of the grid. `interactions` (query, answer) are repeated in a circle; every turn of the grid asks
    the first query, so that only what came before differs."""
    memory, history, found = model.initial_memory(1, torch.Generator().manual_seed(0)), [], []
    for turn in range(1, last + 1):
        interaction = sum(interactions[(turn - 1) % len(interactions)], [])
        if turn in turn_grid(last):
            query = interactions[0][0]
            found.append(TimedTurn(turn, memory, history + query, query, interaction))
        memory, history = remember(model, memory, [interaction]), history + interaction
    return found


@torch.inference_mode()
def measure(
    model: ReactiveTransformer, baseline: StatelessDecoder, interactions: Sequence[tuple[Ids, Ids]], last: int
) -> list[dict[str, Any]]:
    """One record per turn of the grid, medians in seconds of REPEATS single-row answers of one token.

    `write_seconds` (encode and write) is spent after the answer and delays no token.
    """
    grid = timed_turns(model, interactions, last)
    calls = [
        call
        for m in grid
        for call in (
            partial(generate.answer, model, m.memory, [m.query], max_tokens=[1]),
            partial(remember, model, m.memory, [m.interaction]),
            partial(generate.answer, baseline, None, [m.prompt], max_tokens=[1]),
        )
    ]
    medians = iter(median(taken) for taken in interleaved(calls, REPEATS, perf_counter))
    return [
        {
            "turn": m.turn,
            "history_tokens": len(m.prompt) - len(m.query),
            "rxt_seconds": next(medians),
            "write_seconds": next(medians),
            "baseline_seconds": next(medians),
            "rxt_bytes": state_bytes(model),
            "baseline_bytes": history_bytes(baseline, len(m.prompt)),
        }
        for m in grid
    ]


def interleaved(calls: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float]) -> list[list[float]]:
    """Times of each call by `clock`, in rounds that begin with another call each time, so that a busy moment of the
    machine and what a call leaves behind fall on all alike; a first round warms up."""
    times: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 1):
        for place in range(len(calls)):
            number = (round_ + place) % len(calls)
            start = clock()
            calls[number]()
            times[number].append(clock() - start)
    return [taken[1:] for taken in times]
