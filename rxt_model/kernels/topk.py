"""From router logits, choose the k experts of each token and compute their weights, in one kernel per direction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rxt_model.kernels.language import jit, tl, triton

BLOCK_T = 2  # tokens of one step
STEPS = 4  # steps of one program: the more, the fewer partial sums of the probability mass
WARPS = 1  # so maxima over a row stay inside a warp
LEAST = tl.constexpr(-(2**31)) if tl else None


class Selection(NamedTuple):
    """weights [T, K] fp32, which sum to 1 over K; chosen [T, K] int32; probability mass of each expert [E] fp32, summed
    over all tokens; log of the softmax's denominator [T] fp32. All but `chosen` carry gradients."""

    weights: Tensor
    chosen: Tensor
    mass: Tensor
    log_total: Tensor


def select_experts(logits: Tensor, top_k: int, bias: Tensor | None = None) -> Selection:
    """Take the softmax over all experts and renormalise its `top_k` largest. Of equal ones the lower index wins.

    logits [T, E] fp32, T >= 1. `bias` [E] fp32 decides only which experts are chosen, and gets no gradient. The
    renormalised probabilities equal a softmax over the chosen logits alone, and are computed so. Sums run in a fixed
    order, so bits repeat.
    """
    return Selection(*_Select.apply(logits, top_k, bias))


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, top_k: int, bias: Tensor | None):
        logits = logits.contiguous()
        tokens, experts = logits.shape
        blocks = triton.cdiv(tokens, BLOCK_T * STEPS)
        weights = logits.new_empty(tokens, top_k)
        chosen = logits.new_empty(tokens, top_k, dtype=torch.int32)
        mass, log_total = logits.new_empty(blocks, experts), logits.new_empty(tokens)
        select_kernel[(blocks,)](
            logits, bias, weights, chosen, mass, log_total, tokens, *_shape(experts, top_k), STEPS, num_warps=WARPS
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
        return d_logits, None, None


def _shape(experts: int, top_k: int) -> tuple[int, ...]:
    return experts, top_k, BLOCK_T, triton.next_power_of_2(experts), triton.next_power_of_2(top_k)


@jit
def ordered(z):
    """Return integers in the order of the floats z. One instruction compares integers over a whole warp."""
    bits = (z + 0.0).to(tl.int32, bitcast=True)  # + 0.0 turns -0.0 into 0.0
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@jit
def select_kernel(
    logits, bias, weights, chosen, mass, log_total, tokens,
    E: tl.constexpr, K: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_K: tl.constexpr,
    STEPS: tl.constexpr,
):  # fmt: skip
    """Choose the experts of BLOCK_T * STEPS tokens, with their weights, and sum the probability mass over them."""
    experts, ranks = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_K)
    real, valid = (experts < E)[None, :], (ranks < K)[None, :]
    in_mass = tl.zeros([BLOCK_T, BLOCK_E], tl.float32)
    for step in range(STEPS):
        rows = (tl.program_id(0) * STEPS + step) * BLOCK_T + tl.arange(0, BLOCK_T)
        inside, row = (rows < tokens)[:, None], rows[:, None].to(tl.int64)
        z = tl.load(logits + row * E + experts[None, :], mask=inside & real, other=0.0)
        largest = tl.max(tl.where(real, z, float("-inf")), 1)
        p = tl.where(real, tl.exp(z - largest[:, None]), 0.0)
        total = tl.sum(p, 1)
        tl.store(log_total + rows, largest + tl.log(total), mask=rows < tokens)
        in_mass += tl.where(inside, p * (1 / total)[:, None], 0.0)

        if bias is not None:
            z += tl.load(bias + experts, mask=experts < E, other=0.0)[None, :]
        key = tl.where(real, ordered(z), LEAST)
        indices = tl.zeros([BLOCK_T, BLOCK_K], tl.int32)
        for k in tl.static_range(K):
            best = tl.max(key, 1)
            index = tl.min(tl.where(key == best[:, None], experts[None, :], BLOCK_E), 1)
            index = tl.minimum(index, E - 1)  # a row of NaN must still name an existing expert
            indices = tl.where((ranks == k)[None, :], index[:, None], indices)
            key = tl.where(experts[None, :] == index[:, None], LEAST, key)

        stored = inside & valid
        picked = tl.load(logits + row * E + indices, mask=stored, other=float("-inf"))
        picked = tl.exp(picked - tl.where(inside, tl.max(picked, 1)[:, None], 0.0))
        tl.store(weights + row * K + ranks[None, :], picked / tl.sum(picked, 1)[:, None], mask=stored)
        tl.store(chosen + row * K + ranks[None, :], indices, mask=stored)
    tl.store(mass + tl.program_id(0).to(tl.int64) * E + experts, tl.sum(in_mass, 0), mask=experts < E)


@jit
def select_backward_kernel(
    logits, weights, chosen, log_total, d_weights, d_mass, d_log_total, d_logits, tokens,
    E: tl.constexpr, K: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """d_logits [T, E] from the gradients of the weights, of the mass and of the log of the denominator."""
    rows = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    experts, ranks = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_K)
    exists = rows < tokens
    inside = exists[:, None] & (experts < E)[None, :]
    at = rows[:, None].to(tl.int64) * E + experts[None, :]
    z = tl.load(logits + at, mask=inside, other=float("-inf"))
    p = tl.exp(z - tl.load(log_total + rows, mask=exists, other=0.0)[:, None])
    dm = tl.load(d_mass + experts, mask=experts < E, other=0.0)[None, :]
    # this part is the same for all experts of a token
    shift = tl.load(d_log_total + rows, mask=exists, other=0.0)[:, None] - tl.sum(p * dm, 1)[:, None]
    tl.store(d_logits + at, p * (dm + shift), mask=inside)

    valid = exists[:, None] & (ranks < K)[None, :]
    slots = rows.to(tl.int64)[:, None] * K + ranks[None, :]
    w = tl.load(weights + slots, mask=valid, other=0.0)
    dw = tl.load(d_weights + slots, mask=valid, other=0.0)
    index = tl.load(chosen + slots, mask=valid, other=0)
    tl.debug_barrier()  # the chosen experts get their share on top of what has just been stored
    there = d_logits + rows.to(tl.int64)[:, None] * E + index
    tl.store(there, tl.load(there, mask=valid, other=0.0) + w * (dw - tl.sum(w * dw, 1)[:, None]), mask=valid)
