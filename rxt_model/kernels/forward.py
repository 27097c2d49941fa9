"""Experts over rows sorted by expert: up-projection with SwiGLU, down-projection, weighted sum per token."""

from __future__ import annotations

from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.plan import Plan
from rxt_model.kernels.tiles import Tile, Tiles

BLOCK_T = 4  # tokens of a program that sums rows


def swiglu_rows(x: Tensor, plan: Plan, w_in: Tensor, top_k: int, tiles: Tiles) -> tuple[Tensor, Tensor]:
    """x [T, d], w_in [E, d, 2n] -> activations [R, n] and pre-activations [R, 2n], rows sorted by expert."""
    dim, width = w_in.shape[1], w_in.shape[2] // 2
    rows = plan.order.numel()
    hidden, active = x.new_empty(rows, 2 * width), x.new_empty(rows, width)
    tile = tiles.up
    grid = (plan.tile_expert.numel() * triton.cdiv(width, tile.columns + tile.narrow),)
    up_kernel[grid](
        x, w_in, hidden, active, plan.order, *plan[2:], top_k, dim, width,
        tiles.rows, tile.columns, tile.depth, tile.narrow, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return active, hidden


def rows_times_experts(rows: Tensor, plan: Plan, w: Tensor, transposed: bool, height: int, tile: Tile) -> Tensor:
    """rows [R, a] sorted by expert, w [E, a, b], or [E, b, a] and `transposed` -> [R, b]."""
    depth = rows.shape[1]
    width = w.shape[1 if transposed else 2]
    out = rows.new_empty(rows.shape[0], width)
    grid = (plan.tile_expert.numel() * triton.cdiv(width, tile.columns),)
    matmul_kernel[grid](
        rows, w, out, *plan[2:], depth, width, transposed,
        height, tile.columns, tile.depth, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


def sum_rows(rows: Tensor, plan: Plan, weights: Tensor, weighted: bool = True) -> Tensor:
    """rows [T * K, d] sorted by expert -> their sum per token [T, d], multiplied by weights [T, K] if `weighted`.

    fp32 accumulator, in the order of K: the same bits every time, unlike a scatter-add.
    """
    (tokens, top_k), dim = weights.shape, rows.shape[1]
    out = rows.new_empty(tokens, dim)
    sum_kernel[(triton.cdiv(tokens, BLOCK_T),)](
        rows, plan.inverse, weights, out, tokens, weighted, top_k, dim, BLOCK_T, triton.next_power_of_2(dim)
    )
    return out


@jit
def load_block(pointers, mask, MASKED: tl.constexpr):
    """Zeros where the mask is false; an unmasked load where the shape leaves no remainder."""
    if MASKED:
        return tl.load(pointers, mask=mask, other=0.0)
    return tl.load(pointers)


@jit
def halves(block):
    """Left and right columns of [M, C]; moves nothing between threads."""
    pairs = tl.reshape(block, [block.shape[0], 2, block.shape[1] // 2])
    return tl.split(tl.permute(pairs, (0, 2, 1)))


@jit
def both_halves(column, N: tl.constexpr, WIDTH: tl.constexpr):
    """WIDTH columns from `column` of the linear half, then the same of the gate: which column of [.., 2N], and which of
    a half."""
    both = tl.arange(0, 2 * WIDTH)
    columns = column + both % WIDTH
    return columns + both // WIDTH * N, columns


@jit
def store_swiglu(both, hidden, active, first, local, column, inside, N: tl.constexpr):
    """both [M, (linear, gate)] -> stored rounded, and linear * silu(gate) of the rounded halves, so that what the
    backward pass recomputes is what the forward pass used."""
    linear, gate = halves(both.to(hidden.dtype.element_ty))
    columns = column + tl.arange(0, linear.shape[1])
    stored = inside[:, None] & (columns < N)[None, :]
    h = hidden + first * (2 * N) + local[:, None] * (2 * N) + columns[None, :]
    # far more than the L2 cache holds, read once and later: it shall not drive out x, which is read K times
    tl.store(h, linear, mask=stored, eviction_policy="evict_first")
    tl.store(h + N, gate, mask=stored, eviction_policy="evict_first")
    linear, gate = linear.to(tl.float32), gate.to(tl.float32)
    swiglu = linear * gate * tl.sigmoid(gate)
    a = active + first * N + local[:, None] * N + columns[None, :]
    tl.store(a, swiglu.to(active.dtype.element_ty), mask=stored, eviction_policy="evict_first")


@jit
def up_kernel(
    x, w_in, hidden, active, order, starts, tile_expert, tile_row,
    K: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, NARROW: tl.constexpr,
):  # fmt: skip
    """hidden = x[token] @ w_in[expert] = (linear, gate); active = linear * silu(gate). BLOCK_N + NARROW columns of each
    half: linear and gate in one product, because the wider it is, the less often shared memory is read."""
    # parts of one tile are neighbours: they share its rows of x and its expert in the L2 cache
    parts: tl.constexpr = (N + BLOCK_N + NARROW - 1) // (BLOCK_N + NARROW)
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert = tl.load(tile_expert + tile)
    if expert < 0:
        return
    first, end = tl.load(tile_row + tile), tl.load(starts + expert + 1)
    local, depth = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_K)
    tokens = tl.load(order + tl.minimum(first + local, end - 1)) // K
    column = part * (BLOCK_N + NARROW)
    ragged: tl.constexpr = D % BLOCK_K != 0 or N % (BLOCK_N + NARROW) != 0

    a = x + tokens.to(tl.int64)[:, None] * D + depth[None, :]
    b = w_in + expert.to(tl.int64) * (2 * D * N) + depth[:, None] * (2 * N)
    wide, of_half = both_halves(column, N, BLOCK_N)
    in_wide = tl.zeros([BLOCK_M, 2 * BLOCK_N], tl.float32)
    if NARROW:
        narrow, of_narrow = both_halves(column + BLOCK_N, N, NARROW)
        in_narrow = tl.zeros([BLOCK_M, 2 * NARROW], tl.float32)
    for k in range(0, D, BLOCK_K):
        deep = k + depth < D
        left = load_block(a + k, deep[None, :], ragged)
        right = load_block(b + k * (2 * N) + wide[None, :], deep[:, None] & (of_half < N)[None, :], ragged)
        in_wide = tl.dot(left, right, in_wide)
        if NARROW:
            right = load_block(b + k * (2 * N) + narrow[None, :], deep[:, None] & (of_narrow < N)[None, :], ragged)
            in_narrow = tl.dot(left, right, in_narrow)

    inside, row = first + local < end, first.to(tl.int64)
    store_swiglu(in_wide, hidden, active, row, local, column, inside, N)
    if NARROW:
        store_swiglu(in_narrow, hidden, active, row, local, column + BLOCK_N, inside, N)


@jit
def matmul_kernel(
    rows, w, out, starts, tile_expert, tile_row,
    D: tl.constexpr, N: tl.constexpr, TRANSPOSED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = rows @ w[expert], of depth D and width N."""
    parts: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert = tl.load(tile_expert + tile)
    if expert < 0:
        return
    first, end = tl.load(tile_row + tile), tl.load(starts + expert + 1)
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
def sum_kernel(
    rows, inverse, weights, out, tokens,
    WEIGHTED: tl.constexpr, K: tl.constexpr, D: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """out[t] = sum over k of weights[t, k] * rows[inverse[t, k]]."""
    token = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    columns = tl.arange(0, BLOCK_D)
    exists = token < tokens
    inside = exists[:, None] & (columns < D)[None, :]
    total = tl.zeros([BLOCK_T, BLOCK_D], tl.float32)
    for k in tl.static_range(K):
        row = tl.load(inverse + token * K + k, mask=exists, other=0).to(tl.int64)
        value = tl.load(rows + row[:, None] * D + columns[None, :], mask=inside, other=0.0).to(tl.float32)
        if WEIGHTED:
            value *= tl.load(weights + token * K + k, mask=exists, other=0.0).to(tl.float32)[:, None]
        total += value
    at = token.to(tl.int64)[:, None] * D + columns[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
