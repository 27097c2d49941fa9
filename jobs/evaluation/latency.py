"""Measure the time to the first token by turn, of RxT and of a baseline that reads the whole history at every turn."""

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

from jobs.evaluation.conversations import Ids
from rxt_model import generate
from rxt_model.baseline import StatelessDecoder
from rxt_model.model import ReactiveTransformer
from rxt_model.state import remember

REPEATS = 7


def device_name(device: str) -> str:
    """The name of the GPU, or of the processor and its number of cores, for tables of times."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def turn_grid(last: int) -> list[int]:
    """The turns that are timed: 1, 2, 4 … and `last`."""
    return sorted({last} | {2**i for i in range(last.bit_length()) if 2**i <= last})


def state_bytes(model: ReactiveTransformer) -> int:
    """The bytes of one conversation's short-term memory, the same at every turn."""
    memory = model.initial_memory(1)
    return memory.numel() * memory.element_size()


def history_bytes(model: StatelessDecoder, tokens: int) -> int:
    """The bytes of the keys and values of `tokens` tokens. The baseline would have to keep them to avoid reading the
    tokens again."""
    c = model.config
    layers = c.initial_layers + c.stateful_layers + c.final_layers
    per_token = 2 * c.decoder_attention.kv_heads * c.head_dim
    return layers * per_token * tokens * next(model.parameters()).element_size()


@dataclass(frozen=True)
class TimedTurn:
    """A conversation just before a turn whose first token is timed.

    RxT answers `query` from `memory` [L, 1, S, d]. The baseline has no memory, so its `prompt` is the whole history and
    then the query. `interaction` is what RxT writes after the answer.
    """

    turn: int
    memory: Tensor
    prompt: Ids
    query: Ids
    interaction: Ids


@torch.inference_mode()
def timed_turns(model: ReactiveTransformer, interactions: Sequence[tuple[Ids, Ids]], last: int) -> list[TimedTurn]:
    """The turns of `turn_grid(last)`. The `interactions` (query, answer) are repeated as often as needed. Every timed
    turn asks the first query, so that only the history before it differs."""
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
    """One record per timed turn. Times are medians in seconds over REPEATS runs with one conversation and one token.

    `write_seconds` covers encoding and writing to memory, which happen after the answer and delay no token.
    """

    def clock() -> float:
        if model.embedding.weight.is_cuda:
            torch.cuda.synchronize()
        return perf_counter()

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
    medians = iter(median(taken) for taken in interleaved(calls, REPEATS, clock))
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
    """The times that `clock` measures for each call, [calls][repeats]. A first round warms up.

    Each round starts with another call. So busy moments of the machine and after-effects of a call fall on all alike.
    """
    times: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 1):
        for place in range(len(calls)):
            number = (round_ + place) % len(calls)
            start = clock()
            calls[number]()
            times[number].append(clock() - start)
    return [taken[1:] for taken in times]
