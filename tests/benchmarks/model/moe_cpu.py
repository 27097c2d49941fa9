"""The mixture-of-experts layer of RxT-Beta on one CPU thread: time and memory against what one would use instead.

    python -m tests.benchmarks.model.moe_cpu [--rounds 7]

Forward and backward in fp32, router included, no shared experts; CPU seconds, since machines are shared. Repetitions
of all cases are interleaved. Peers are our own versions of public algorithms: every expert padded to the fullest
(`padded_bmm`), a loop over unbound views (`loop`), `F.grouped_mm`, and a dense SwiGLU of equal active FLOPs. Memory is
the peak of a process of its own per case beyond weights and their gradients.

Targets: at most 2.4 times the dense layer and 0.70 times padded bmm, collapsed routing at most 1.1 times balanced, at
most 150 MB of memory. Reported, not enforced: the exit code is 1 only for an invalid run. One JSON line per case is
appended to results/moe_cpu.jsonl.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.config import MoEConfig
from rxt_model.layers.parts import SwiGLU
from rxt_model.moe.layer import MoELayer
from tests.benchmarks.model.allocator import as_by_default
from tests.benchmarks.record import RESULTS, append, environment

DIM, WIDTH, EXPERTS, TOP_K, TOKENS = 512, 192, 384, 10, 1024


class Peer(MoELayer):
    """The router and parameters of our layer, with another way to run the experts on rows sorted by expert."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        weights, chosen = F.linear(x, self.router.weight).softmax(-1).topk(self.top_k, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        counts = torch.bincount(chosen.flatten(), minlength=EXPERTS)
        order = chosen.flatten().argsort(stable=True)
        rows = self.run(x[order // self.top_k], counts)
        return (rows[order.argsort()].unflatten(0, chosen.shape) * weights[..., None]).sum(1) + self.bias, None

    def run(self, rows: Tensor, counts: Tensor) -> Tensor:
        raise NotImplementedError


class Loop(Peer):
    def run(self, rows: Tensor, counts: Tensor) -> Tensor:
        parts = zip(rows.split(counts.tolist()), self.experts.w_in.unbind(0), self.experts.w_out.unbind(0), strict=True)
        return torch.cat([swiglu(part @ up) @ down for part, up, down in parts if len(part)])


class GroupedMM(Peer):
    def run(self, rows: Tensor, counts: Tensor) -> Tensor:
        ends = counts.cumsum(0, dtype=torch.int32)
        hidden = F.grouped_mm(rows, self.experts.w_in, offs=ends)
        return F.grouped_mm(swiglu(hidden), self.experts.w_out, offs=ends)


class PaddedBMM(Peer):
    def run(self, rows: Tensor, counts: Tensor) -> Tensor:
        longest, starts = int(counts.max()), counts.cumsum(0) - counts
        expert = torch.arange(EXPERTS).repeat_interleave(counts)
        place = expert * longest + torch.arange(len(rows)) - starts[expert]
        padded = rows.new_zeros(EXPERTS * longest, DIM).index_copy(0, place, rows).unflatten(0, (EXPERTS, longest))
        return (swiglu(padded @ self.experts.w_in) @ self.experts.w_out).flatten(0, 1)[place]


class Dense(SwiGLU):
    """A dense layer with the active FLOPs of the experts and without a router."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return super().forward(x), None


LAYERS = {"ours": MoELayer, "grouped_mm": GroupedMM, "loop": Loop, "padded_bmm": PaddedBMM}
ROUTES = ("balanced", "collapsed")
TARGETS = {
    ("ours", "balanced"): {"to_dense": 2.4, "to_padded_bmm": 0.70, "beyond_mb": 150},
    ("ours", "collapsed"): {"to_balanced": 1.1, "beyond_mb": 150},
}
CASES = [("dense", "balanced"), *((name, route) for route in ROUTES for name in LAYERS)]


def swiglu(hidden: Tensor) -> Tensor:
    linear, gate = hidden.chunk(2, -1)
    return linear * F.silu(gate)


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    layer = (
        Dense(DIM, TOP_K * WIDTH, bias=False)
        if name == "dense"
        else LAYERS[name](DIM, MoEConfig(EXPERTS, TOP_K, WIDTH))
    )
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=parameter.shape[-2 if parameter.dim() == 3 else -1] ** -0.5)
    return layer


def route_to(route: str, layer: nn.Module, x: Tensor) -> None:
    """Return router weights for a constant input of 1. Collapsed routing sends every token to the first ten experts."""
    if isinstance(layer, MoELayer):
        layer.router.weight.data[:, 0] = 0
        layer.router.weight.data[:TOP_K, 0] = 20.0 if route == "collapsed" else 0.0
    x.data[:, 0] = 1


def step(layer: nn.Module, x: Tensor, direction: Tensor) -> tuple[Tensor, float, float]:
    """Return the output, and CPU milliseconds of the forward and of the backward pass. Gradients are dropped
    afterwards."""
    began = process_time()
    y, _ = layer(x)
    middle = process_time()
    y.backward(direction)
    ended = process_time()
    return y.detach(), 1e3 * (middle - began), 1e3 * (ended - middle)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, direction = (torch.randn(TOKENS, DIM, generator=generator) for _ in range(2))
    return x.requires_grad_(), direction


def times(rounds: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return CPU ms of forward and backward per case. All cases take turns, and the first turn is not counted. Padding
    to 1,024 rows for each of 384 experts takes gigabytes and many seconds, so it has one turn."""
    x, direction = data()
    whole = make("ours")
    dense = make("dense")
    found: dict[tuple[str, str], list[tuple[float, float]]] = {case: [] for case in CASES}
    outputs: dict[str, Tensor] = {}
    for turn in range(rounds + 1):
        for name, route in CASES:
            if (name, route) == ("padded_bmm", "collapsed") and turn != 1:
                continue
            layer = dense if name == "dense" else share(whole, LAYERS[name])
            route_to(route, layer, x)
            y, *parts = step(layer, x, direction)
            layer.zero_grad()
            x.grad = None
            found[name, route] += [tuple(parts)] if turn else []
            if name != "dense":
                torch.testing.assert_close(y, outputs.setdefault(route, y), rtol=1e-3, atol=1e-4)
    return found


def share(whole: MoELayer, kind: type[MoELayer]) -> MoELayer:
    """Make a layer of another kind with the same parameters."""
    with torch.device("meta"):
        layer = kind(DIM, MoEConfig(EXPERTS, TOP_K, WIDTH))
    layer.load_state_dict(whole.state_dict(), assign=True)
    return layer


def beyond(name: str, route: str) -> float:
    """Return the peak of two steps in this process, in MB (10^6), less what it held before and the weights'
    gradients."""
    layer, (x, direction) = make(name), data()
    route_to(route, layer, x)
    small = nn.Linear(64, 64)
    small(torch.randn(64, 64)).sum().backward()  # libraries that load at the first call
    before = resident("VmRSS")
    for _ in range(2):
        step(layer, x, direction)
        gradients = sum(p.grad.nbytes for p in layer.parameters())
        layer.zero_grad()
    return (resident("VmHWM") - before - gradients) / 1e6


def resident(field: str) -> int:
    """Return the bytes of this process that are in memory now (VmRSS) or were at most (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def measured_apart(name: str, route: str) -> float:
    command = [sys.executable, *sys.orig_argv[1:], "--memory", name, route]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "ROUTE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    allocator = as_by_default()
    torch.set_num_threads(1)
    if arguments.memory:
        print(beyond(*arguments.memory))
        return 0
    found = times(arguments.rounds)
    middle = {case: median(sum(parts) for parts in turns) for case, turns in found.items()}
    dense, padded = middle["dense", "balanced"], middle["padded_bmm", "balanced"]
    valid = 3 <= padded / dense <= 4.5
    lines = []
    for (name, route), turns in found.items():
        totals = [sum(parts) for parts in turns]
        lines.append({
            "benchmark": "moe_cpu",
            **environment("torch"),
            "threads": torch.get_num_threads(),
            "allocator": allocator,
            "shape": {"tokens": TOKENS, "dim": DIM, "experts": EXPERTS, "top_k": TOP_K, "width": WIDTH},
            "case": name,
            "routing": route,
            "turns": len(turns),
            "median_ms": round(middle[name, route], 1),
            "min_ms": round(min(totals), 1),
            "max_ms": round(max(totals), 1),
            "forward_ms": round(median(parts[0] for parts in turns), 1),
            "to_dense": round(middle[name, route] / dense, 3),
            "to_padded_bmm": round(middle[name, route] / middle["padded_bmm", route], 3),
            "to_balanced": round(middle[name, route] / middle[name, "balanced"], 3),
            "beyond_mb": round(measured_apart(name, route), 1),
            "valid": valid,
        })  # fmt: skip
        line = lines[-1]
        if target := TARGETS.get((name, route)):
            line["target"] = target
            line["met"] = {key: line[key] <= most for key, most in target.items()}
        print(
            f"{name:10} {route:9} {line['median_ms']:8.1f} ms [{line['min_ms']}, {line['max_ms']}]  x dense "
            f"{line['to_dense']:6.2f}  x padded {line['to_padded_bmm']:5.2f}  {line['beyond_mb']:7.1f} MB beyond"
            + "".join(f"  {key} {'met' if met else 'MISSED'}" for key, met in line.get("met", {}).items())
        )
    append(RESULTS / "moe_cpu.jsonl", lines)
    if not valid:
        print(f"invalid: padded bmm took {padded / dense:.2f} times the dense layer, it should take 3 to 4.5")
    return int(not valid)


if __name__ == "__main__":
    sys.exit(main())
