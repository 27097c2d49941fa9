"""Compute the gradients of the experts from x, the pre-activations and the plan; nothing else is saved."""

from __future__ import annotations

import torch
from torch import Tensor

from rxt_model.kernels.forward import halves, sum_rows
from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.plan import Plan, load_tile
from rxt_model.kernels.products import load_block, rows_times_experts
from rxt_model.kernels.tiles import Tile, Tiles


def hidden_gradient(
    dy: Tensor, hidden: Tensor, weights: Tensor, plan: Plan, w_out: Tensor, tiles: Tiles
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, from dy [T, d], the gradient of the pre-activations [R, 2n], the activations times combine weight [R, n],
    and the gradient of the combine weights [T, K] fp32."""
    width, dim = w_out.shape[1:]
    tile = tiles.d_hidden
    parts = triton.cdiv(width, tile.columns * 3 // 2)
    d_hidden, scaled = torch.empty_like(hidden), hidden.new_empty(hidden.shape[0], width)
    d_weights = hidden.new_empty(*weights.shape, parts, dtype=torch.float32)
    d_hidden_kernel[(plan.tile_expert.numel() * (tiles.height // tile.rows) * parts,)](
        dy, w_out, hidden, weights, d_hidden, scaled, d_weights, plan.order, *plan[3:], weights.shape[1], dim, width,
        tiles.height, *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return d_hidden, scaled, d_weights.squeeze(-1) if parts == 1 else d_weights.sum(-1)


def input_gradient(d_hidden: Tensor, weights: Tensor, plan: Plan, w_in: Tensor, tiles: Tiles) -> Tensor:
    """Return the gradient of x [T, d] from d_hidden [R, 2n]: that of each assignment, then the sum per token."""
    rows = rows_times_experts(d_hidden, plan, w_in, True, tiles.height, tiles.d_x)
    return sum_rows(rows, plan, weights, weighted=False)


def weight_gradient(
    by_token: Tensor, rows: Tensor, plan: Plan, top_k: int, transposed: bool, tile: Tile, out: Tensor, add: bool
) -> None:
    """Put by_token [T, d]^T @ rows [R, c] of every expert into `out` [E, d, c], or [E, c, d] if `transposed`.

    Accumulates over the rows in fp32, in their order. If `add`, adds to what `out` holds.
    """
    dim, width = by_token.shape[1], rows.shape[1]
    grid = (out.shape[0] * triton.cdiv(dim, tile.rows) * triton.cdiv(width, tile.columns * 3 // 2),)
    d_weight_kernel[grid](
        by_token, rows, out, plan.order, plan.starts, top_k, dim, width, transposed, add,
        tile.early, *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip


@jit
def load_hidden(hidden, first, local, column, inside, N: tl.constexpr, WIDTH: tl.constexpr):
    """Load WIDTH columns of the linear half, and the same columns of the gate."""
    columns = column + tl.arange(0, WIDTH)
    at = hidden + first * (2 * N) + local[:, None] * (2 * N) + columns[None, :]
    stored = inside[:, None] & (columns < N)[None, :]
    return tl.load(at, mask=stored, other=0.0), tl.load(at + N, mask=stored, other=0.0)


@jit
def swiglu_backward(
    d_active, linear, gate, d_hidden, scaled, weight, first, local, column, inside, N: tl.constexpr
):  # fmt: skip
    """From the gradient of the unweighted activations [M, C], store those of the pre-activations, and the weighted
    activations. Return <d_active, active> per row."""
    columns = column + tl.arange(0, d_active.shape[1])
    at = first * (2 * N) + local[:, None] * (2 * N) + columns[None, :]
    stored = inside[:, None] & (columns < N)[None, :]
    linear, gate = linear.to(tl.float32), gate.to(tl.float32)
    sigmoid = tl.sigmoid(gate)
    silu = gate * sigmoid
    active = linear * silu
    d_weight = tl.sum(d_active * active, 1)
    element = d_hidden.dtype.element_ty
    d_active *= weight[:, None]
    tl.store(d_hidden + at, (d_active * silu).to(element), mask=stored, eviction_policy="evict_first")
    d_gate = d_active * linear * (sigmoid + silu - silu * sigmoid)
    tl.store(d_hidden + at + N, d_gate.to(element), mask=stored, eviction_policy="evict_first")
    there = scaled + first * N + local[:, None] * N + columns[None, :]
    tl.store(there, (active * weight[:, None]).to(element), mask=stored, eviction_policy="evict_first")
    return d_weight


@jit
def swiglu_backward_halves(
    d_active, hidden, d_hidden, scaled, weight, first, local, column, inside, N: tl.constexpr
):  # fmt: skip
    """Run swiglu_backward on one half after the other, each with its pre-activations: both together would not fit into
    the registers."""
    HALF: tl.constexpr = d_active.shape[1] // 2
    left, right = halves(d_active)
    linear, gate = load_hidden(hidden, first, local, column, inside, N, HALF)
    d_weight = swiglu_backward(left, linear, gate, d_hidden, scaled, weight, first, local, column, inside, N)
    column += HALF
    linear, gate = load_hidden(hidden, first, local, column, inside, N, HALF)
    return d_weight + swiglu_backward(right, linear, gate, d_hidden, scaled, weight, first, local, column, inside, N)


@jit
def d_hidden_kernel(
    dy, w_out, hidden, weights, d_hidden, scaled, d_weights, order, tile_expert, tile_row, tile_end,
    K: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    HEIGHT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Compute dA = dy[token] @ w_out[expert]^T over 3/2 BLOCK_N columns, then the backward of SwiGLU on the sums."""
    HALF: tl.constexpr = BLOCK_N // 2
    parts: tl.constexpr = (N + BLOCK_N + HALF - 1) // (BLOCK_N + HALF)
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert, first, end = load_tile(tile_expert, tile_row, tile_end, tile, HEIGHT, BLOCK_M)
    if first >= end:
        return
    local = tl.arange(0, BLOCK_M)
    inside = first + local < end
    assignment = tl.load(order + tl.minimum(first + local, end - 1))
    column = part * (BLOCK_N + HALF)
    wide, narrow = column + tl.arange(0, BLOCK_N), column + BLOCK_N + tl.arange(0, HALF)
    depth = tl.arange(0, BLOCK_K)
    ragged: tl.constexpr = D % BLOCK_K != 0 or N % (BLOCK_N + HALF) != 0

    a = dy + (assignment // K).to(tl.int64)[:, None] * D + depth[None, :]
    b = w_out + expert.to(tl.int64) * (D * N) + depth[None, :]
    in_wide = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    in_narrow = tl.zeros([BLOCK_M, HALF], tl.float32)
    for k in range(0, D, BLOCK_K):
        deep = (k + depth < D)[None, :]
        left = load_block(a + k, deep, ragged)
        right = load_block(b + k + wide[:, None] * D, deep & (wide < N)[:, None], ragged)
        in_wide = tl.dot(left, tl.trans(right), in_wide)
        right = load_block(b + k + narrow[:, None] * D, deep & (narrow < N)[:, None], ragged)
        in_narrow = tl.dot(left, tl.trans(right), in_narrow)

    row = first.to(tl.int64)
    weight = tl.load(weights + assignment).to(tl.float32)
    left, right = halves(in_wide)
    d_weight = swiglu_backward_halves(left, hidden, d_hidden, scaled, weight, row, local, column, inside, N)
    column += HALF
    d_weight += swiglu_backward_halves(right, hidden, d_hidden, scaled, weight, row, local, column, inside, N)
    column += HALF
    d_weight += swiglu_backward_halves(in_narrow, hidden, d_hidden, scaled, weight, row, local, column, inside, N)
    tl.store(d_weights + assignment.to(tl.int64) * parts + part, d_weight, mask=inside)


@jit
def store_gradient(out, values, features, column, D: tl.constexpr, N: tl.constexpr, T: tl.constexpr, ADD: tl.constexpr):
    """Store values [features, columns] in out [D, N], or in [N, D] if T. If ADD, add to what is there."""
    columns = column + tl.arange(0, values.shape[1])
    at = features[:, None] + columns[None, :] * D if T else features[:, None] * N + columns[None, :]
    inside = (features < D)[:, None] & (columns < N)[None, :]
    if ADD:
        values += tl.load(out + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, values.to(out.dtype.element_ty), mask=inside)


@jit
def d_weight_kernel(
    by_token, rows, out, order, starts,
    K: tl.constexpr, D: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr, ADD: tl.constexpr,
    EARLY: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    """out[expert] (+)= by_token[token]^T @ rows over the expert's rows, for BLOCK_M features by 3/2 BLOCK_N columns."""
    HALF: tl.constexpr = BLOCK_N // 2
    parts: tl.constexpr = (N + BLOCK_N + HALF - 1) // (BLOCK_N + HALF)
    heights: tl.constexpr = (D + BLOCK_M - 1) // BLOCK_M
    expert = tl.program_id(0) // (parts * heights)
    features = (tl.program_id(0) // parts) % heights * BLOCK_M + tl.arange(0, BLOCK_M)
    first_column = tl.program_id(0) % parts * (BLOCK_N + HALF)
    wide, narrow = first_column + tl.arange(0, BLOCK_N), first_column + BLOCK_N + tl.arange(0, HALF)
    local = tl.arange(0, BLOCK_R)
    start, end = tl.load(starts + expert), tl.load(starts + expert + 1)

    in_wide = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    in_narrow = tl.zeros([BLOCK_M, HALF], tl.float32)
    if EARLY:
        token = tl.load(order + start + local, mask=start + local < end, other=0) // K
    for r in range(start, end, BLOCK_R):
        row = r + local
        inside = (row < end)[:, None]
        if not EARLY:
            token = tl.load(order + row, mask=row < end, other=0) // K
        a = by_token + token.to(tl.int64)[:, None] * D + features[None, :]
        left = tl.trans(tl.load(a, mask=inside & (features < D)[None, :], other=0.0))
        if EARLY:
            token = tl.load(order + row + BLOCK_R, mask=row + BLOCK_R < end, other=0) // K
        b = rows + row.to(tl.int64)[:, None] * N
        right = tl.load(b + wide[None, :], mask=inside & (wide < N)[None, :], other=0.0)
        in_wide = tl.dot(left, right, in_wide)
        right = tl.load(b + narrow[None, :], mask=inside & (narrow < N)[None, :], other=0.0)
        in_narrow = tl.dot(left, right, in_narrow)
    out += expert.to(tl.int64) * (D * N)
    left, right = halves(in_wide)
    store_gradient(out, left, features, first_column, D, N, TRANSPOSED, ADD)
    store_gradient(out, right, features, first_column + HALF, D, N, TRANSPOSED, ADD)
    store_gradient(out, in_narrow, features, first_column + BLOCK_N, D, N, TRANSPOSED, ADD)
