"""What the Triton kernels become on an H100 (sm_90), without one: every kernel cross-compiled at its production tile.

    python -m tests.benchmarks.kernels.kernel_report [--only NAME ...]

Asks of every kernel: no spill (a stack of 0 bytes), at most 227 KB of shared memory, no atomic on floats; of matrix
kernels, that they use the warp-group matrix instructions (wgmma). One JSON line per kernel is appended to
results/kernel_report.jsonl; the exit code is 1 if a kernel breaks a rule. Needs Triton 3.6 or newer, no driver.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rxt_model.kernels import backward, cross_entropy, forward, logits, plan, products, topk
from rxt_model.kernels.tiles import BETA, ROUTER
from tests.benchmarks.record import RESULTS, append, environment

TARGET = GPUTarget("cuda", 90, 32)
SHARED_LIMIT = 227 * 1024
D, N, E, K = 512, 192, 384, 10
BINS = 512
TYPES = {
    "x w_in w_out hidden active rows w out dy d_hidden scaled by_token parts": "*bf16",
    "weights logits bias mass log_total d_weights d_mass d_log_total d_logits d": "*fp32",
    "chosen counts totals before within starts order inverse tile_expert tile_row tile_end": "*i32",
    "tokens total blocks tiles run": "i32",
}
SIGNATURE = {name: kind for names, kind in TYPES.items() for name in names.split()}


def kernels() -> dict[str, tuple]:
    """Return, by name: kernel, values of its constexpr arguments in order, launch options, whether it multiplies
    matrices, and types that differ from the usual ones."""
    height, up, down, d_hidden, d_x, d_weight, d_w_in_main, d_w_out_main = BETA
    fp32, router = {"out": "*fp32"}, ROUTER
    choice, warp = (E, K, topk.BLOCK_T, 512, 16), {"num_warps": topk.WARPS}
    return {
        "split": (logits.split_kernel, (logits.BLOCK,), {}, False, {"w": "*fp32"}),
        "logits": (logits.logits_kernel, (D, E, *router.logits[:3]), options(router.logits), True, fp32),
        "d_router_x": (logits.d_x_kernel, (E, D, *router.d_x[:3]), options(router.d_x), True, {}),
        "d_router_w": (logits.d_w_kernel, (E, D, *router.d_w[:3]), options(router.d_w), True, fp32),
        "select": (topk.select_kernel, (*choice, topk.STEPS), warp, False, {}),
        "select_backward": (topk.select_backward_kernel, choice, warp, False, {}),
        "count": (plan.count_kernel, (BINS, plan.BLOCK), {}, False, {}),
        "prefix": (plan.prefix_kernel, (BINS, plan.BLOCKS, plan.COLUMNS), {}, False, {}),
        "tile": (plan.tile_kernel, (E, BINS, height, plan.TILES), {}, False, {}),
        "place": (plan.place_kernel, (BINS, plan.BLOCK), {}, False, {}),
        "up": (forward.up_kernel, (K, D, N, height, *up[:3]), options(up), True, {}),
        "down": rows_times(N, D, False, height, down),
        "down_described": described(N, D, False, height, down),
        "combine": (forward.sum_kernel, (True, K, D, forward.BLOCK_T, D), {}, False, {}),
        "d_hidden": (backward.d_hidden_kernel, (K, D, N, height, *d_hidden[:3]), options(d_hidden), True, {}),
        "d_w_out": weights(N, True, False, d_weight),
        "d_w_in": weights(2 * N, False, False, d_weight),
        "d_w_out_main": weights(N, True, True, d_w_out_main),
        "d_w_in_main": weights(2 * N, False, True, d_w_in_main),
        "d_x": rows_times(2 * N, D, True, height, d_x),
        "d_x_described": described(2 * N, D, True, height, d_x),
        "d_x_sum": (forward.sum_kernel, (False, K, D, forward.BLOCK_T, D), {}, False, {}),
        "cross_entropy": (
            cross_entropy.loss_kernel,
            (cross_entropy.IGNORED, True, True, cross_entropy.BLOCK),
            {"num_warps": cross_entropy.WARPS},
            False,
            {
                "logits": "*bf16",
                "bias": "*bf16",
                "labels": "*i64",
                "loss": "*fp32",
                "normaliser": "*fp32",
                "right": "*i1",
                "z_weight": "fp32",
                "vocabulary": "i32",
            },
        ),
    }


def rows_times(depth: int, width: int, transposed: bool, height: int, tile) -> tuple:
    return products.matmul_kernel, (depth, width, transposed, height, *tile[:3]), options(tile), True, {}


def described(depth: int, width: int, transposed: bool, height: int, tile) -> tuple:
    _, shape, launch, *_ = rows_times(depth, width, transposed, height, tile)
    w = (tile.columns, tile.depth) if transposed else (tile.depth, tile.columns)
    types = {"rows_block": f"tensordesc<bf16[{tile.rows}, {tile.depth}]>", "w_block": f"tensordesc<bf16{list(w)}>"}
    return products.described_matmul_kernel, shape, launch, True, types


def weights(width: int, transposed: bool, add: bool, tile) -> tuple:
    shape = (K, D, width, transposed, add, tile.early, *tile[:3])
    return backward.d_weight_kernel, shape, options(tile), True, {"out": "*fp32"} if add else {}


def options(tile) -> dict[str, int]:
    return {"num_warps": tile.warps, "num_stages": tile.stages}


def compiled(kernel, constants: tuple, launch: dict[str, int], types: dict[str, str]):
    """Compile the kernel for sm_90, with pointers and sizes divisible by 16, as in PyTorch."""
    runtime = [p.name for p in kernel.params if not p.is_constexpr]
    fixed = [p.name for p in kernel.params if p.is_constexpr]
    signature = {name: (SIGNATURE | types)[name] for name in runtime} | dict.fromkeys(fixed, "constexpr")
    aligned = {(kernel.arg_names.index(n),): [["tt.divisibility", 16]] for n in runtime if signature[n][0] == "*"}
    source = ASTSource(kernel, signature, dict(zip(fixed, constants, strict=True)), aligned)
    return triton.compile(source, target=TARGET, options=launch)


def resources(cubin: bytes) -> dict[str, int]:
    """Return registers per thread, and bytes of stack and local memory, as cuobjdump reports them."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", text)
    return dict(zip(("registers", "stack", "local"), map(int, found.groups()), strict=True))


def report(name: str) -> dict:
    """Make one result line, with the rules that the kernel breaks."""
    kernel, constants, launch, multiplies, types = kernels()[name]
    made = compiled(kernel, constants, launch, types)
    ptx = made.asm["ptx"]
    line = {"kernel": name, **resources(made.asm["cubin"]), "shared": made.metadata.shared}
    line |= {"wgmma": len(re.findall(r"wgmma\.mma_async", ptx)), "warps": made.metadata.num_warps}
    line |= {"stages": made.metadata.num_stages, "constants": list(constants)}
    line["cp_async"] = len(re.findall(r"cp\.async\.cg", ptx))
    broken = {
        "spills": line["stack"] > 0 or line["local"] > 0,
        "no wgmma": multiplies and not line["wgmma"],
        "too much shared memory": line["shared"] > SHARED_LIMIT,
        "atomic on floats": re.search(r"\b(atom|red)\.[\w.:]*\.(b?f16|f32|f64)", ptx) is not None,
    }
    return line | {"broken": [rule for rule, breaks in broken.items() if breaks]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=kernels(), default=list(kernels()), metavar="NAME")
    parser.add_argument("--results", type=Path, default=RESULTS / "kernel_report.jsonl")
    arguments = parser.parse_args()
    common = {
        "case": "kernel_report",
        **environment("triton"),
        "target": "sm_90",
    }
    lines = [report(name) for name in arguments.only]
    append(arguments.results, (common | line for line in lines))
    for line in lines:
        print(
            f"{line['kernel']:16} {line['registers']:4} registers  {line['stack']:5} B stack  "
            f"{line['shared'] / 1024:6.1f} KB shared  {line['wgmma']:3} wgmma  {', '.join(line['broken']) or 'ok'}"
        )
    return int(any(line["broken"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
