"""Rows sorted by expert times the expert's weights, both loaded by the tensor memory accelerator (TMA)."""

from __future__ import annotations

from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.plan import Plan
from rxt_model.kernels.tiles import Tile


def described_rows_times_experts(
    rows: Tensor, plan: Plan, w: Tensor, transposed: bool, height: int, tile: Tile
) -> Tensor:
    """rows [R, a] sorted by expert, w [E, a, b], or [E, b, a] and `transposed` -> [R, b]; a row of each has a multiple
    of 16 bytes, as TMA demands."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    depth = rows.shape[1]
    width = w.shape[1 if transposed else 2]
    out = rows.new_empty(rows.shape[0], width)
    block = [tile.columns, tile.depth] if transposed else [tile.depth, tile.columns]
    described_matmul_kernel[(plan.tile_expert.numel() * triton.cdiv(width, tile.columns),)](
        TensorDescriptor.from_tensor(rows, [height, tile.depth]), TensorDescriptor.from_tensor(w.flatten(0, 1), block),
        out, *plan[2:], depth, width, transposed,
        height, tile.columns, tile.depth, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


@jit
def described_matmul_kernel(
    rows_block, w_block, out, starts, tile_expert, tile_row,
    D: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = rows @ w[expert], of depth D and width N. Past the depth rows read as 0; what a block holds of another
    expert is multiplied by that, or not stored."""
    parts: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert = tl.load(tile_expert + tile)
    if expert < 0:
        return
    first, end = tl.load(tile_row + tile), tl.load(starts + expert + 1)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, D, BLOCK_K):
        left = rows_block.load([first, k])
        if TRANSPOSED:
            total = tl.dot(left, w_block.load([expert * N + part * BLOCK_N, k]).T, total)
        else:
            total = tl.dot(left, w_block.load([expert * D + k, part * BLOCK_N]), total)
    local, columns = tl.arange(0, BLOCK_M), part * BLOCK_N + tl.arange(0, BLOCK_N)
    stored = (first + local < end)[:, None] & (columns < N)[None, :]
    o = out + first.to(tl.int64) * N + local[:, None] * N + columns[None, :]
    tl.store(o, total.to(out.dtype.element_ty), mask=stored, eviction_policy="evict_first")
