"""Multiply rows sorted by expert with the expert's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.plan import Plan, load_tile
from rxt_model.kernels.tiles import Tile


def rows_times_experts(rows: Tensor, plan: Plan, w: Tensor, transposed: bool, height: int, tile: Tile) -> Tensor:
    """Multiply rows [R, a], sorted by expert, with w [E, a, b], or [E, b, a] if `transposed`: [R, b]."""
    multiply = through_descriptors if described(rows, w) else through_pointers
    return multiply(rows, plan, w, transposed, height, tile)


def described(rows: Tensor, w: Tensor) -> bool:
    """Return whether the tensor memory accelerator (TMA) can load both: rows must fill multiples of 16 bytes."""
    aligned = all(t.shape[-1] * t.element_size() % 16 == 0 and t.data_ptr() % 16 == 0 for t in (rows, w))
    return aligned and (not rows.is_cuda or torch.cuda.get_device_capability(rows.device) >= (9, 0))


def through_descriptors(rows: Tensor, plan: Plan, w: Tensor, transposed: bool, height: int, tile: Tile) -> Tensor:
    """Compute `rows_times_experts`, with loads by the tensor memory accelerator."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    depth = rows.shape[1]
    width = w.shape[1 if transposed else 2]
    out = rows.new_empty(rows.shape[0], width)
    block = [tile.columns, tile.depth] if transposed else [tile.depth, tile.columns]
    described_matmul_kernel[(plan.tile_expert.numel() * (height // tile.rows) * triton.cdiv(width, tile.columns),)](
        TensorDescriptor.from_tensor(rows, [tile.rows, tile.depth]),
        TensorDescriptor.from_tensor(w.flatten(0, 1), block),
        out, *plan[3:], depth, width, transposed,
        height, *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


def through_pointers(rows: Tensor, plan: Plan, w: Tensor, transposed: bool, height: int, tile: Tile) -> Tensor:
    """Compute `rows_times_experts` on any device and for any shape."""
    depth = rows.shape[1]
    width = w.shape[1 if transposed else 2]
    out = rows.new_empty(rows.shape[0], width)
    matmul_kernel[(plan.tile_expert.numel() * (height // tile.rows) * triton.cdiv(width, tile.columns),)](
        rows, w, out, *plan[3:], depth, width, transposed,
        height, *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


@jit
def load_block(pointers, mask, MASKED: tl.constexpr):
    """Load a block, zero where the mask is false. If the shape leaves no remainder, load without a mask."""
    if MASKED:
        return tl.load(pointers, mask=mask, other=0.0)
    return tl.load(pointers)


@jit
def matmul_kernel(
    rows, w, out, tile_expert, tile_row, tile_end,
    D: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr,
    HEIGHT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = rows @ w[expert], of depth D and width N."""
    parts: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert, first, end = load_tile(tile_expert, tile_row, tile_end, tile, HEIGHT, BLOCK_M)
    if first >= end:
        return
    local = tl.arange(0, BLOCK_M)
    columns, depth = part * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    ragged: tl.constexpr = D % BLOCK_K != 0 or N % BLOCK_N != 0

    row = first.to(tl.int64)
    a = rows + row * D + tl.minimum(local, end - 1 - first)[:, None] * D + depth[None, :]
    b = w + expert.to(tl.int64) * (D * N)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, D, BLOCK_K):
        left = load_block(a + k, (k + depth < D)[None, :], ragged)
        if TRANSPOSED:
            wanted = (columns < N)[:, None] & (k + depth < D)[None, :]
            right = load_block(b + columns[:, None] * D + depth[None, :] + k, wanted, ragged)
            total = tl.dot(left, tl.trans(right), total)
        else:
            wanted = (k + depth < D)[:, None] & (columns < N)[None, :]
            right = load_block(b + depth[:, None] * N + columns[None, :] + k * N, wanted, ragged)
            total = tl.dot(left, right, total)
    stored = (first + local < end)[:, None] & (columns < N)[None, :]
    o = out + row * N + local[:, None] * N + columns[None, :]
    tl.store(o, total.to(out.dtype.element_ty), mask=stored, eviction_policy="evict_first")


@jit
def described_matmul_kernel(
    rows_block, w_block, out, tile_expert, tile_row, tile_end,
    D: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr,
    HEIGHT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = rows @ w[expert], of depth D and width N. Beyond the depth, rows read as 0. What a block holds of another
    expert is multiplied by that 0, or not stored."""
    parts: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert, first, end = load_tile(tile_expert, tile_row, tile_end, tile, HEIGHT, BLOCK_M)
    if first >= end:
        return
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
