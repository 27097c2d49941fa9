"""Compute router logits and their gradients with the precision of fp32, on tensor cores for 16-bit numbers.

An fp32 factor is the sum of two 16-bit numbers, up to an error of 2^-16: `high`, the factor rounded, and `low`, the
rest. Products of 16-bit numbers are exact and are summed in fp32. So two such products replace an fp32 product, which
would take several times as long. A product of two split factors leaves out low * low.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rxt_model.kernels.forward import load_block
from rxt_model.kernels.language import jit, tl, triton
from rxt_model.kernels.tiles import ROUTER, RouterTiles

BLOCK = 1024  # numbers that one program splits


def split(w: Tensor, dtype: torch.dtype) -> Tensor:
    """Split fp32 w of any shape into high and low, [2, *shape]."""
    w = w.contiguous()
    parts = w.new_empty(2, *w.shape, dtype=dtype)
    split_kernel[(triton.cdiv(w.numel(), BLOCK),)](w, parts, w.numel(), BLOCK)
    return parts


def logits_of(x: Tensor, w: Tensor, tiles: RouterTiles = ROUTER) -> Tensor:
    """Return x w^T [T, E] fp32 for x [T, d] and the split w [2, E, d]."""
    (tokens, dim), experts, tile = x.shape, w.shape[1], tiles.logits
    out = x.new_empty(tokens, experts, dtype=torch.float32)
    logits_kernel[(triton.cdiv(tokens, tile.rows) * triton.cdiv(experts, tile.columns),)](
        x, w, out, tokens, dim, experts,
        *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


def input_gradient(d: Tensor, w: Tensor, tiles: RouterTiles = ROUTER) -> Tensor:
    """Return d w [T, d], in the dtype of the split, for d [T, E] fp32 and the split w [2, E, d]."""
    (tokens, experts), dim, tile = d.shape, w.shape[2], tiles.d_x
    out = w.new_empty(tokens, dim)
    d_x_kernel[(triton.cdiv(tokens, tile.rows) * triton.cdiv(dim, tile.columns),)](
        d, w, out, tokens, experts, dim,
        *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out


def weight_gradient(d: Tensor, x: Tensor, tiles: RouterTiles = ROUTER) -> Tensor:
    """Return d^T x [E, d] fp32 for d [T, E] fp32 and x [T, d]: partial sums over runs of tokens, then their sum."""
    (tokens, experts), dim, tile = d.shape, x.shape[1], tiles.d_w
    run = triton.cdiv(triton.cdiv(tokens, tiles.runs), tile.depth) * tile.depth
    out = d.new_empty(triton.cdiv(tokens, run), experts, dim)
    d_w_kernel[(triton.cdiv(experts, tile.rows) * triton.cdiv(dim, tile.columns), out.shape[0])](
        d, x, out, tokens, run, experts, dim,
        *tile[:3], num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out.sum(0)


@jit
def high_and_low(values, dtype: tl.constexpr):
    """Split fp32 values into the rounded number and the rest, both of `dtype`."""
    high = values.to(dtype)
    return high, (values - high.to(tl.float32)).to(dtype)


@jit
def split_kernel(w, parts, total, BLOCK: tl.constexpr):
    """parts [2, total] = high and low of w [total]."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    high, low = high_and_low(tl.load(w + at, mask=at < total, other=0.0), parts.dtype.element_ty)
    tl.store(parts + at, high, mask=at < total)
    tl.store(parts + total + at, low, mask=at < total)


@jit
def logits_kernel(
    x, w, out, tokens, D: tl.constexpr, E: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out [T, E] = x @ (high + low)^T."""
    parts: tl.constexpr = (E + BLOCK_N - 1) // BLOCK_N
    row = tl.program_id(0) // parts * BLOCK_M + tl.arange(0, BLOCK_M)
    expert, depth = tl.program_id(0) % parts * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    ragged: tl.constexpr = D % BLOCK_K != 0 or E % BLOCK_N != 0
    a = x + tl.minimum(row, tokens - 1).to(tl.int64)[:, None] * D + depth[None, :]
    b = w + expert[:, None] * D + depth[None, :]
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, D, BLOCK_K):
        deep = (k + depth < D)[None, :]
        left = load_block(a + k, deep, ragged)
        for part in tl.static_range(2):
            right = load_block(b + part * (E * D) + k, deep & (expert < E)[:, None], ragged)
            total = tl.dot(left, tl.trans(right), total)
    o = out + row.to(tl.int64)[:, None] * E + expert[None, :]
    tl.store(o, total, mask=(row < tokens)[:, None] & (expert < E)[None, :])


@jit
def d_x_kernel(
    d, w, out, tokens, E: tl.constexpr, D: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out [T, D] = (high + low of d) @ (high + low)."""
    parts: tl.constexpr = (D + BLOCK_N - 1) // BLOCK_N
    row = tl.program_id(0) // parts * BLOCK_M + tl.arange(0, BLOCK_M)
    columns, expert = tl.program_id(0) % parts * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    ragged: tl.constexpr = E % BLOCK_K != 0 or D % BLOCK_N != 0
    a = d + tl.minimum(row, tokens - 1).to(tl.int64)[:, None] * E + expert[None, :]
    b = w + expert[:, None] * D + columns[None, :]
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for e in range(0, E, BLOCK_K):
        exists = e + expert < E
        high, low = high_and_low(load_block(a + e, exists[None, :], ragged), w.dtype.element_ty)
        wanted = exists[:, None] & (columns < D)[None, :]
        right = load_block(b + e * D, wanted, ragged)
        total = tl.dot(high, right, total)
        total = tl.dot(low, right, total)
        total = tl.dot(high, load_block(b + E * D + e * D, wanted, ragged), total)
    o = out + row.to(tl.int64)[:, None] * D + columns[None, :]
    tl.store(o, total.to(out.dtype.element_ty), mask=(row < tokens)[:, None] & (columns < D)[None, :])


@jit
def d_w_kernel(
    d, x, out, tokens, run, E: tl.constexpr, D: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out [run of tokens, E, D] = (high + low of d)^T @ x over the run."""
    parts: tl.constexpr = (D + BLOCK_N - 1) // BLOCK_N
    expert = tl.program_id(0) // parts * BLOCK_M + tl.arange(0, BLOCK_M)
    columns, local = tl.program_id(0) % parts * BLOCK_N + tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    first = tl.program_id(1) * run
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for t in range(first, tl.minimum(first + run, tokens), BLOCK_K):
        token = (t + local).to(tl.int64)[:, None]
        exists = (t + local < tokens)[:, None]
        left = tl.load(d + token * E + expert[None, :], mask=exists & (expert < E)[None, :], other=0.0)
        right = tl.load(x + token * D + columns[None, :], mask=exists & (columns < D)[None, :], other=0.0)
        high, low = high_and_low(tl.trans(left), x.dtype.element_ty)
        total = tl.dot(high, right, total)
        total = tl.dot(low, right, total)
    o = out + tl.program_id(1) * (E * D) + expert[:, None] * D + columns[None, :]
    tl.store(o, total, mask=(expert < E)[:, None] & (columns < D)[None, :])
