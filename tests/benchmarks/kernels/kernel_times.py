"""Each Triton kernel of a mixture-of-experts layer alone on a GPU, at several tiles: which one belongs in tiles.py?

    python -m tests.benchmarks.kernels.kernel_times [--only NAME ...] [--tokens 32768]

Shape of RxT-Beta, random balanced routing, L2 cache flushed between calls. One JSON line per kernel and tile is
appended to results/kernel_times.jsonl: milliseconds, and the share of the device's copy bandwidth, measured in the
same run, that the kernel's least traffic (every tensor once) amounts to. Prints the fastest tile of each kernel, and
the sum over one layer of the tiles in use and of the fastest. A tile that does not compile is a line with its error.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from rxt_model.kernels import logits, topk
from rxt_model.kernels.backward import hidden_gradient, weight_gradient
from rxt_model.kernels.forward import sum_rows, swiglu_rows
from rxt_model.kernels.language import triton
from rxt_model.kernels.plan import BLOCK, plan_rows
from rxt_model.kernels.products import rows_times_experts
from rxt_model.kernels.tiles import BETA, ROUTER, Tile
from tests.benchmarks.record import RESULTS, append, environment

D, N, E, K = 512, 192, 384, 10
# the tile in use comes first; candidates cross-compile for sm_90 without a spill
SELECT = [(topk.BLOCK_T, topk.STEPS), (1, 8), (2, 2), (1, 4), (2, 8)]  # tokens at a time, steps
PLAN = [BLOCK, 512, 2048]
LOGITS = [ROUTER.logits, Tile(128, 128, 64, 8, 3), Tile(128, 128, 64, 4, 3)]
D_ROUTER_X = [ROUTER.d_x, Tile(128, 128, 32, 8, 4), Tile(128, 256, 32, 8, 3)]
D_ROUTER_W = [(ROUTER.runs, ROUTER.d_w), (22, Tile(128, 256, 64, 8, 3)), (44, Tile(128, 128, 32, 8, 3))]  # runs, tile
UP = [BETA.up, Tile(128, 64, 32, 8, 5), Tile(128, 64, 64, 4, 2), Tile(128, 64, 32, 4, 4)]
PRODUCTS = {
    "down": [BETA.down, Tile(128, 128, 64, 8, 3), Tile(128, 256, 64, 8, 4)],
    "d_x": [BETA.d_x, Tile(128, 128, 64, 8, 3), Tile(128, 128, 64, 4, 3)],
}
D_HIDDEN = [BETA.d_hidden, Tile(128, 128, 64, 16, 3), Tile(128, 128, 32, 16, 6)]
D_WEIGHT = {
    "d_w_out": [BETA.d_weight, Tile(128, 128, 64, 8, 2), Tile(256, 128, 64, 16, 3, 1)],
    "d_w_in": [BETA.d_weight, Tile(128, 128, 64, 8, 2), Tile(256, 128, 64, 16, 3, 1)],
    "d_w_out_main": [BETA.d_w_out_main, Tile(128, 128, 64, 8, 5), Tile(128, 128, 32, 8, 5)],
    "d_w_in_main": [BETA.d_w_in_main, Tile(128, 128, 64, 8, 5), Tile(256, 128, 64, 8, 3, 1)],
}

Case = tuple[str, object, int, Callable]


def select_with(block: int, steps: int, scores: torch.Tensor) -> None:
    topk.BLOCK_T, topk.STEPS = block, steps
    topk.select_experts(scores, K)


def cases(tokens: int) -> Iterator[Case]:
    """Return kernel, tile, bytes of its least traffic, and call."""
    draw = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", generator=draw).bfloat16()

    scores = random(tokens, E).float()
    weights, chosen, *_ = topk.select_experts(scores, K)
    plan = plan_rows(chosen, E, BETA.height)
    x, w_in, w_out, rows, hidden, active = (
        random(*shape)
        for shape in ((tokens, D), (E, D, 2 * N), (E, N, D), (tokens * K, D), (tokens * K, 2 * N), (tokens * K, N))
    )
    d_in, d_out = torch.empty_like(w_in), torch.empty_like(w_out)
    main_in, main_out = d_in.float(), d_out.float()
    router = logits.split(random(E, D).float(), torch.bfloat16)

    def size(*tensors: torch.Tensor) -> int:
        return sum(tensor.nbytes for tensor in tensors)

    yield "split", None, size(router) * 2, lambda: logits.split(router[0].float(), torch.bfloat16)
    for tile in LOGITS:
        tiles = ROUTER._replace(logits=tile)
        yield "logits", tile, size(x, router, scores), lambda tiles=tiles: logits.logits_of(x, router, tiles)
    for tile in D_ROUTER_X:
        tiles = ROUTER._replace(d_x=tile)
        yield (
            "d_router_x",
            tile,
            size(x, router, scores),
            lambda tiles=tiles: logits.input_gradient(scores, router, tiles),
        )
    for runs, tile in D_ROUTER_W:
        tiles = ROUTER._replace(runs=runs, d_w=tile)
        yield (
            "d_router_w",
            (runs, tile),
            size(x, router, scores),
            lambda tiles=tiles: logits.weight_gradient(scores, x, tiles),
        )
    for shape in SELECT:
        yield "select", shape, size(scores, weights, chosen), lambda shape=shape: select_with(*shape, scores)
    inputs = scores.clone().requires_grad_()
    selection = topk.select_experts(inputs, K)
    outputs = (selection.weights, selection.mass)
    like = [torch.ones_like(output) for output in outputs]
    yield (
        "d_select",
        None,
        2 * size(scores),
        lambda: torch.autograd.grad(outputs, inputs, like, retain_graph=True),
    )
    for block in PLAN:
        least = size(chosen, plan.order, plan.inverse)
        yield "plan", block, least, lambda block=block: plan_rows(chosen, E, BETA.height, block)
    for tile in UP:
        least, tiles = size(x, w_in, hidden, active), BETA._replace(up=tile)
        yield "up", tile, least, lambda tiles=tiles: swiglu_rows(x, plan, w_in, K, tiles)
    for name, inner, w, transposed, out in (("down", active, w_out, False, rows), ("d_x", hidden, w_in, True, rows)):
        for tile in PRODUCTS[name]:
            call = [inner, plan, w, transposed, BETA.height, tile]
            yield name, tile, size(inner, w, out), lambda call=call: rows_times_experts(*call)
    yield "combine", None, size(rows, x, weights), lambda: sum_rows(rows, plan, weights)
    yield "d_x_sum", None, size(rows, x), lambda: sum_rows(rows, plan, weights, False)
    for tile in D_HIDDEN:
        least, tiles = size(x, w_out, hidden, hidden, active), BETA._replace(d_hidden=tile)
        yield "d_hidden", tile, least, lambda tiles=tiles: hidden_gradient(x, hidden, weights, plan, w_out, tiles)
    for name, inner, out, main in (("d_w_out", active, d_out, main_out), ("d_w_in", hidden, d_in, main_in)):
        for full, target, add in ((name, out, False), (f"{name}_main", main, True)):
            for tile in D_WEIGHT[full]:
                call = [x, inner, plan, K, inner is active, tile, target, add]
                least = size(x, inner, target) + add * target.nbytes
                yield full, tile, least, lambda call=call: weight_gradient(*call)


def copy_bandwidth() -> float:
    """Return the bytes read and written per second by a copy of 1 GiB."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2e3 * source.nbytes / triton.testing.do_bench(lambda: target.copy_(source), return_mode="median")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--tokens", type=int, default=32768)
    parser.add_argument("--results", type=Path, default=RESULTS / "kernel_times.jsonl")
    arguments = parser.parse_args()
    if triton is None or not torch.cuda.is_available():
        print("kernel_times.py: needs a GPU that torch can use, and Triton; there is none here", file=sys.stderr)
        return 2
    bandwidth = copy_bandwidth()
    common = {
        "case": "kernel_times",
        **environment("torch", "triton", device=torch.cuda.get_device_name()),
        "copy_gb_per_s": round(bandwidth / 1e9),
        "shape": {"T": arguments.tokens, "d": D, "n": N, "E": E, "K": K},
    }
    seen, in_use, fastest = set(), {}, {}
    for name, tile, least, call in cases(arguments.tokens):
        if arguments.only and name not in arguments.only:
            continue
        line = common | {"kernel": name, "tile": tile and str(tile), "in_use": name not in seen}
        seen.add(name)
        try:
            times = triton.testing.do_bench(call, warmup=8, rep=30, return_mode="all")
        except Exception as error:  # too much shared memory, say: the other tiles are still worth knowing
            line["error"] = f"{type(error).__name__}: {error}"[:200]
        else:
            median = statistics.median(times)
            line |= {"median_ms": round(median, 4), "min_ms": round(min(times), 4), "max_ms": round(max(times), 4)}
            line |= {"repeat": len(times), "of_bandwidth": round(least / bandwidth / median * 1e3, 3)}
            if line["in_use"]:
                in_use[name] = median
            fastest[name] = min(fastest.get(name, (median, tile)), (median, tile), key=lambda pair: pair[0])
        append(arguments.results, [line])
        print(f"{name:12} {line.get('median_ms', line.get('error'))!s:10} {line.get('of_bandwidth', '')} {tile or ''}")
    for name, (median, tile) in fastest.items():
        print(f"fastest {name:12} {median:.4f} ms (in use {in_use.get(name, float('nan')):.4f}) {tile or ''}")
    layer = [name for name in in_use if not name.endswith("_main")]
    print(f"a layer: {sum(in_use[n] for n in layer):.3f} ms, at best {sum(fastest[n][0] for n in layer):.3f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
