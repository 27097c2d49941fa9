"""Run experts over rows sorted by expert: up-projection with SwiGLU, down-projection, weighted sum per token."""

from __future__ import annotations

from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.plan import Plan, load_tile
from rxt_model.kernels.products import load_block
from rxt_model.kernels.tiles import Tiles

BLOCK_T = 4  # tokens of one program of `sum_kernel`


def swiglu_rows(x: Tensor, plan: Plan, w_in: Tensor, top_k: int, tiles: Tiles) -> tuple[Tensor, Tensor]:
    """Map x [T, d], w_in [E, d, 2n] to activations [R, n] and pre-activations [R, 2n], rows sorted by expert."""
    dim, width = w_in.shape[1], w_in.shape[2] // 2
    rows = plan.order.numel()
    hidden, active = x.new_empty(rows, 2 * width), x.new_empty(rows, width)
    tile = tiles.up
    grid = (plan.tile_expert.numel() * (tiles.height // tile.rows) * triton.cdiv(width, tile.columns),)
    up_kernel[grid](
        x, w_in, hidden, active, plan.order, *plan[3:], top_k, dim, width,
        tiles.height, *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return active, hidden


def sum_rows(rows: Tensor, plan: Plan, weights: Tensor, weighted: bool = True) -> Tensor:
    """Sum rows [T * K, d], sorted by expert, per token: [T, d]. If `weighted`, multiply them by weights [T, K].

    The sum is fp32 and in the order of K, so its bits repeat, unlike those of a scatter-add.
    """
    (tokens, top_k), dim = weights.shape, rows.shape[1]
    out = rows.new_empty(tokens, dim)
    sum_kernel[(triton.cdiv(tokens, BLOCK_T),)](
        rows, plan.inverse, weights, out, tokens, weighted, top_k, dim, BLOCK_T, triton.next_power_of_2(dim)
    )
    return out


@jit
def halves(block):
    """Split [M, C] into its left and right columns. This moves nothing between threads."""
    pairs = tl.reshape(block, [block.shape[0], 2, block.shape[1] // 2])
    return tl.split(tl.permute(pairs, (0, 2, 1)))


@jit
def both_halves(column, N: tl.constexpr, WIDTH: tl.constexpr):
    """Return WIDTH columns from `column` of the linear half, then the same of the gate: as columns of [.., 2N], and as
    columns of a half."""
    both = tl.arange(0, 2 * WIDTH)
    columns = column + both % WIDTH
    return columns + both // WIDTH * N, columns


@jit
def store_swiglu(both, hidden, active, first, local, column, inside, N: tl.constexpr):
    """Store both [M, (linear, gate)], rounded, and linear * silu(gate) of the rounded halves. So the backward pass
    recomputes exactly what the forward pass used."""
    linear, gate = halves(both.to(hidden.dtype.element_ty))
    columns = column + tl.arange(0, linear.shape[1])
    stored = inside[:, None] & (columns < N)[None, :]
    h = hidden + first * (2 * N) + local[:, None] * (2 * N) + columns[None, :]
    # Far more than the L2 cache holds, and read once, much later. It must not drive out x, which is read K times.
    tl.store(h, linear, mask=stored, eviction_policy="evict_first")
    tl.store(h + N, gate, mask=stored, eviction_policy="evict_first")
    linear, gate = linear.to(tl.float32), gate.to(tl.float32)
    swiglu = linear * gate * tl.sigmoid(gate)
    a = active + first * N + local[:, None] * N + columns[None, :]
    tl.store(a, swiglu.to(active.dtype.element_ty), mask=stored, eviction_policy="evict_first")


@jit
def up_kernel(
    x, w_in, hidden, active, order, tile_expert, tile_row, tile_end,
    K: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    HEIGHT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Compute hidden = x[token] @ w_in[expert] = (linear, gate) and active = linear * silu(gate), for BLOCK_N columns
    of each half. One product makes both halves: the wider it is, the less often shared memory is read."""
    # the parts of one tile are neighbours: in the L2 cache they share its rows of x and its expert
    parts: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    tile, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    expert, first, end = load_tile(tile_expert, tile_row, tile_end, tile, HEIGHT, BLOCK_M)
    if first >= end:
        return
    local, depth = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_K)
    tokens = tl.load(order + tl.minimum(first + local, end - 1)) // K
    both, columns = both_halves(part * BLOCK_N, N, BLOCK_N)
    ragged: tl.constexpr = D % BLOCK_K != 0 or N % BLOCK_N != 0

    a = x + tokens.to(tl.int64)[:, None] * D + depth[None, :]
    b = w_in + expert.to(tl.int64) * (2 * D * N) + depth[:, None] * (2 * N) + both[None, :]
    total = tl.zeros([BLOCK_M, 2 * BLOCK_N], tl.float32)
    for k in range(0, D, BLOCK_K):
        deep = k + depth < D
        left = load_block(a + k, deep[None, :], ragged)
        right = load_block(b + k * (2 * N), deep[:, None] & (columns < N)[None, :], ragged)
        total = tl.dot(left, right, total)
    store_swiglu(total, hidden, active, first.to(tl.int64), local, part * BLOCK_N, first + local < end, N)


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
