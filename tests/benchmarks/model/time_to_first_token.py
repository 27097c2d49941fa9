"""Does a conversation get slower or larger? RxT beside a stateless decoder that reads the whole history again.

python -m tests.benchmarks.model.time_to_first_token
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import process_time

import torch
from torch import Tensor

from jobs.evaluation.latency import TimedTurn, interleaved, timed_turns
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.config import AttentionConfig, MemoryConfig, ModelConfig
from rxt_model.family import ALPHA_MICRO
from rxt_model.generate import Decoding, answer
from rxt_model.model import ReactiveTransformer, TokenModel, seeded
from rxt_model.size import active_parameters, parameters
from tests.benchmarks.model.allocator import as_by_default
from tests.benchmarks.record import RESULTS, append, environment

TARGET = 0.05  # how far a later turn may differ from the first, in time, in live bytes and at the peak
HEADS = AttentionConfig(query_heads=4, kv_heads=4)
# The sizes of RxT-Alpha Micro with the competitive write, no biases in attention and in each expert, and an RMS norm
# before the head. Untrained weights do: what they hold changes no time as long as tokens go to all experts. Untrained
# slots of the gated variants become alike, and with them the experts chosen.
CONFIG = replace(
    ALPHA_MICRO,
    decoder_attention=HEADS,
    cross_attention=HEADS,
    encoder_attention=HEADS,
    moe=replace(ALPHA_MICRO.moe, bias="layer"),
    memory=MemoryConfig(slots=ALPHA_MICRO.memory.slots, variant="competitive"),
    head_norm="rms",
).with_vocabulary(7500)
GROWTH = ("time", "bytes", "peak")
ARMS = ("rxt", "stateless")


def build(arm: str) -> TokenModel:
    if arm == "rxt":
        return seeded(lambda: ReactiveTransformer(CONFIG, mlm_head=False), 0).eval()
    return seeded(lambda: StatelessDecoder(matching_config(CONFIG)), 0).eval()


def prompt(arm: str, turn: TimedTurn) -> tuple[Tensor | None, list[int]]:
    return (turn.memory, turn.query) if arm == "rxt" else (None, turn.prompt)


def bytes_in_use(model: TokenModel, memory: Tensor | None, query: list[int]) -> dict[str, int]:
    """Return the bytes that a conversation keeps alive while it is answered."""
    decoding = Decoding(model, memory, [query], [1])
    held = {
        "memory_bytes": 0 if memory is None else memory.nbytes,
        "projected_bytes": sum(part.nbytes for pair in decoding.memory for part in pair),
        "cache_bytes": decoding.cache.nbytes,
        "logits_bytes": decoding.logits.nbytes,
    }
    return held | {"bytes": sum(held.values())}


def peak_bytes(arm: str, memory: Tensor | None, query: list[int]) -> int:
    """Return how far the first token drives the resident memory of a fresh process above what it had after loading the
    model."""
    torch.set_num_threads(1)
    model, before = build(arm), _resident("VmRSS")
    answer(model, memory, [query], [1])
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    arguments, allocator = parse(), as_by_default()
    torch.set_num_threads(1)
    models = {arm: build(arm) for arm in ARMS}
    grid = timed_turns(models["rxt"], conversation(CONFIG, arguments.query, arguments.answer), arguments.turns)
    about = {
        "case": "time_to_first_token",
        **environment("torch"),
        "threads": 1,
        "allocator": allocator,
        "clock": "process CPU seconds",
        "query_tokens": arguments.query,
        "interaction_tokens": arguments.query + arguments.answer,
    }
    lines = []
    for arm, model in models.items():
        size = {"model": arm, "parameters": parameters(model), "active_parameters": active_parameters(model)}
        given = [prompt(arm, turn) for turn in grid]
        with torch.inference_mode():
            calls = [partial(answer, model, memory, [query], [1]) for memory, query in given]
            times = interleaved(calls, arguments.repeats if arm == "rxt" else arguments.peer_repeats, process_time)
            held = [bytes_in_use(model, memory, query) for memory, query in given]
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            peaks = pool.starmap(peak_bytes, [(arm, *pair) for pair in given], chunksize=1)
        for turn, (_, query), taken, bytes_held, peak in zip(grid, given, times, held, peaks, strict=True):
            spread = {"median_s": median(taken), "min_s": min(taken), "max_s": max(taken), "repeats": len(taken)}
            growth = {
                "time_by_first_turn": median(taken) / median(times[0]),
                "bytes_by_first_turn": bytes_held["bytes"] / held[0]["bytes"],
                "peak_by_first_turn": peak / peaks[0],
            }
            where = {"turn": turn.turn, "prompt_tokens": len(query)}
            lines.append(about | size | where | spread | growth | bytes_held | {"peak_bytes": peak})
    rivals = {line["turn"]: line["median_s"] for line in lines if line["model"] != "rxt"}
    for line in lines:
        if line["model"] == "rxt":
            line["ratio_to_stateless"] = rivals[line["turn"]] / line["median_s"]
            line["target"] = TARGET
            line["met"] = all(abs(line[f"{what}_by_first_turn"] - 1) <= TARGET for what in GROWTH)
    append(arguments.results, lines)
    for line in lines:
        print(
            f"{line['model']:9} turn {line['turn']:3}  {1e3 * line['median_s']:9.2f} ms "
            f"({line['time_by_first_turn']:7.3f} x turn 1)  {line['bytes'] / 2**20:7.2f} MiB "
            f"({line['bytes_by_first_turn']:7.3f} x)  peak + {line['peak_bytes'] / 2**20:7.1f} MiB "
            f"({line['peak_by_first_turn']:7.3f} x)"
        )


def conversation(config: ModelConfig, query: int, reply: int) -> list[tuple[list[int], list[int]]]:
    """Make interactions of random tokens, all of one length."""
    generator = torch.Generator().manual_seed(0)
    low, tokens = config.tokens.highest + 1, config.tokens
    drawn = torch.randint(low, config.vocab_size, (8, query + reply), generator=generator).tolist()
    return [
        ([tokens.bos, tokens.query, *row[2:query]], [tokens.answer, *row[query + 1 : -1], tokens.eos]) for row in drawn
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=64)
    parser.add_argument("--query", type=int, default=32, help="tokens of a query")
    parser.add_argument("--answer", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=101, help="of RxT's answers, every turn's in each round")
    parser.add_argument("--peer-repeats", type=int, default=7, help="of the stateless decoder's, which take seconds")
    parser.add_argument("--results", type=Path, default=RESULTS / "time_to_first_token.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
