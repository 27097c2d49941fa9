"""From router logits to the k experts of each token and their weights, in one kernel each way."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels.language import jit, tl, triton

BLOCK_T = 2  # tokens of a program
WARPS = 1  # maxima over a row then stay inside a warp


class Selection(NamedTuple):
    """weights [T, K] fp32, summing to 1 over K; chosen [T, K] int32; probability mass of each expert [E] fp32, summed
    over all tokens; log of the softmax's denominator [T] fp32. All but `chosen` carry gradients."""

    weights: Tensor
    chosen: Tensor
    mass: Tensor
    log_total: Tensor


def select_experts(logits: Tensor, top_k: int) -> Selection:
    """Softmax over all experts, the `top_k` largest, renormalised; of equal logits the lower index wins.

    logits [T, E] fp32, T >= 1. Renormalised probabilities are a softmax over the chosen logits alone, and are computed
    as such. Repeatable to the bit: sums run in a fixed order.
    """
    return Selection(*_Select.apply(logits, top_k))


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, top_k: int):
        logits = logits.contiguous()
        tokens, experts = logits.shape
        blocks = triton.cdiv(tokens, BLOCK_T)
        weights = logits.new_empty(tokens, top_k)
        chosen = logits.new_empty(tokens, top_k, dtype=torch.int32)
        mass, log_total = logits.new_empty(blocks, experts), logits.new_empty(tokens)
        select_kernel[(blocks,)](
            logits, weights, chosen, mass, log_total, tokens, *_shape(experts, top_k), num_warps=WARPS
        )
        ctx.save_for_backward(logits, weights, chosen, log_total)
        ctx.mark_non_differentiable(chosen)
        return weights, chosen, mass.sum(0), log_total

    @staticmethod
    @once_differentiable
    def backward(ctx, d_weights: Tensor, _, d_mass: Tensor, d_log_total: Tensor):
        logits, weights, chosen, log_total = ctx.saved_tensors
        tokens, experts = logits.shape
        d_logits = torch.empty_like(logits)
        gradients = [d.contiguous() for d in (d_weights, d_mass, d_log_total)]
        select_backward_kernel[(triton.cdiv(tokens, BLOCK_T),)](
            logits, weights, chosen, log_total, *gradients, d_logits, tokens, *_shape(experts, weights.shape[1]),
            num_warps=WARPS,
        )  # fmt: skip
        return d_logits, None


def _shape(experts: int, top_k: int) -> tuple[int, ...]:
    return experts, top_k, BLOCK_T, triton.next_power_of_2(experts), triton.next_power_of_2(top_k)


@jit
def select_kernel(
    logits, weights, chosen, mass, log_total, tokens,
    E: tl.constexpr, K: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    experts, ranks = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_K)
    inside = (rows < tokens)[:, None]
    real = (experts < E)[None, :]
    z = tl.load(logits + rows[:, None].to(tl.int64) * E + experts[None, :], mask=inside & real, other=0.0)
    z = tl.where(real, z, float("-inf"))

    largest = tl.max(z, 1)
    e = tl.exp(z - largest[:, None])
    total = tl.sum(e, 1)
    tl.store(log_total + rows, largest + tl.log(total), mask=rows < tokens)
    p = tl.where(inside, e / total[:, None], 0.0)
    tl.store(mass + tl.program_id(0).to(tl.int64) * E + experts, tl.sum(p, 0), mask=experts < E)

    picked = tl.zeros([BLOCK_T, BLOCK_K], tl.float32)
    indices = tl.zeros([BLOCK_T, BLOCK_K], tl.int32)
    for k in tl.static_range(K):
        best, index = tl.max(z, 1, return_indices=True)
        index = tl.minimum(index, E - 1)  # a row of NaN must still name an expert that exists
        here = (ranks == k)[None, :]
        picked = tl.where(here, tl.exp(best - largest)[:, None], picked)
        indices = tl.where(here, index[:, None], indices)
        z = tl.where(experts[None, :] == index[:, None], float("-inf"), z)
    at = rows[:, None].to(tl.int64) * K + ranks[None, :]
    stored = inside & (ranks < K)[None, :]
    tl.store(weights + at, picked / tl.sum(picked, 1)[:, None], mask=stored)
    tl.store(chosen + at, indices, mask=stored)


@jit
def select_backward_kernel(
    logits, weights, chosen, log_total, d_weights, d_mass, d_log_total, d_logits, tokens,
    E: tl.constexpr, K: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    experts, ranks = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_K)
    exists = rows < tokens
    inside = exists[:, None] & (experts < E)[None, :]
    at = rows[:, None].to(tl.int64) * E + experts[None, :]
    z = tl.load(logits + at, mask=inside, other=float("-inf"))
    p = tl.exp(z - tl.load(log_total + rows, mask=exists, other=0.0)[:, None])
    dm = tl.load(d_mass + experts, mask=experts < E, other=0.0)[None, :]
    dl = tl.load(d_log_total + rows, mask=exists, other=0.0)[:, None]
    dz = p * (dm - tl.sum(p * dm, 1)[:, None] + dl)

    first = rows.to(tl.int64) * K
    slots = first[:, None] + ranks[None, :]
    valid = exists[:, None] & (ranks < K)[None, :]
    w = tl.load(weights + slots, mask=valid, other=0.0)
    mean = tl.sum(w * tl.load(d_weights + slots, mask=valid, other=0.0), 1)
    for k in tl.static_range(K):
        wk = tl.load(weights + first + k, mask=exists, other=0.0)
        dwk = tl.load(d_weights + first + k, mask=exists, other=0.0)
        index = tl.load(chosen + first + k, mask=exists, other=-1)
        dz += tl.where(experts[None, :] == index[:, None], (wk * (dwk - mean))[:, None], 0.0)
    tl.store(d_logits + at, dz, mask=inside)
