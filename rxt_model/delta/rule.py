"""The gated delta rule (arXiv 2412.06464): a state that decays, and is corrected towards each token's value.

    R'_t = alpha_t R_{t-1};   R_t = R'_t + beta_t (v_t - R'_t k_t) k_t^T;   o_t = R_t q_t

In a chunk let g_i be the sum of log alpha up to token i, and u_i = beta_i (v_i - R'_i k_i) what the token writes. Then
R_i = e^{g_i} R_0 + sum_{j <= i} e^{g_i - g_j} u_j k_j^T, and the u solve a triangular system (the WY form):

    (I + A) U = beta (V - e^g K R_0^T),   A_ij = beta_i e^{g_i - g_j} k_i . k_j for j < i

All exponents are at most 0. With chunks of one token this is the recurrence itself, which decoding uses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rxt_model.delta.sequences import Sequences


def gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, start: Tensor, sequences: Sequences
) -> tuple[Tensor, Tensor]:
    """Return o [R, H, d_v] and the last states [D, H, d_v, d_k], for chunks of q and k [n, C, H, d_k], of v
    [n, C, H, d_v], of log alpha `decay` and of beta [n, C, H], and the first states `start` [D, H, d_v, d_k]."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # [n, H, C, d]
    # a place without a token changes nothing: alpha = 1, beta = 0
    decay, beta = ((x * sequences.real[..., None]).transpose(1, 2) for x in (decay, beta))
    total = decay.cumsum(-1)
    later = torch.ones(2 * total.shape[-1:], dtype=torch.bool, device=q.device).triu(1)
    between = (total[..., :, None] - total[..., None, :]).masked_fill(later, -torch.inf).exp()
    grown = total.exp()[..., None]
    a = beta[..., None] * (k @ k.mT) * between
    wanted = torch.cat((beta[..., None] * v, beta[..., None] * grown * k), -1)
    solved = torch.linalg.solve_triangular(a, wanted, upper=False, unitriangular=True)
    values, erased = solved.split((v.shape[-1], k.shape[-1]), -1)
    kept = k * (total[..., -1:] - total).exp()[..., None]

    state, ends, before, written = start, [], [], []
    steps = zip(*(x.split(sequences.counts) for x in (values, erased, kept, grown[..., -1:, :])), strict=True)
    for value, erase, keep, shrink in steps:
        ends.append(state[len(value) :])  # of sequences that have ended
        state = state[: len(value)]
        write = value - erase @ state.mT
        before.append(state)
        written.append(write)
        state = shrink * state + write.mT @ keep
    ends.append(state)
    if written:
        values, states = torch.cat(written), torch.cat(before)
        values = ((q @ k.mT) * between) @ values + (q * grown) @ states.mT
    return sequences.joined(values.transpose(1, 2)), torch.cat(ends[::-1])
