"""Memory-driven Gated DeltaNet as its equations, token by token, for one sequence and one memory.

R' = alpha_t R_{t-1};   R_t = R' + beta_t (v_t - R' k_t) k_t^T;   o_t = R_t q_t
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rxt_model.config import DeltaConfig
from tests.reference.layers import State, linear, part, rms_norm


def delta_rule(
    q: Sequence[Tensor], k: Sequence[Tensor], v: Sequence[Tensor], alpha: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One head: q, k [T, d_k], v [T, d_v], alpha and beta [T], the state R_0 [d_v, d_k] -> o [T, d_v], R_T."""
    outputs = []
    for t in range(len(q)):
        state = alpha[t] * state
        wrong = v[t] - torch.einsum("vk,k->v", state, k[t])
        state = state + beta[t] * torch.einsum("v,k->vk", wrong, k[t])
        outputs.append(torch.einsum("vk,k->v", state, q[t]))
    return torch.stack(outputs), state


def gated_delta(layer: State, drive: State, x: Tensor, slots: Tensor, config: DeltaConfig, eps: float) -> Tensor:
    """y [T, d] from normed inputs x [T, d] and normed slots [S, d]."""
    heads = config.heads
    width = layer["norm.weight"].shape[0]
    inner = heads * width
    mean = slots.mean(0)[None]
    joined, gate, a, b = linear(part(layer, "project"), x).split((3 * inner, inner, heads, heads), -1)
    rows = []
    for t in range(len(x)):
        total = torch.zeros(3 * inner, dtype=x.dtype)
        for back in range(config.kernel):
            if t - back >= 0:
                total = total + layer["conv"][:, config.kernel - 1 - back] * joined[t - back]
        rows.append(total * total.sigmoid())
    q, k, v = torch.stack(rows).reshape(len(x), 3, heads, width).unbind(1)
    of_decay, of_beta, of_gamma = linear(part(drive, "gates"), mean)[0].split(heads)
    slot_keys, slot_values = linear(part(drive, "key_value"), slots).reshape(len(slots), 2, heads, width).unbind(1)
    outputs = []
    for h in range(heads):
        softplus = (1 + (a[:, h] + of_decay[h] + drive["decay_bias"][h]).exp()).log()
        alpha = (-layer["rate"][h].exp() * softplus).exp()
        beta = (b[:, h] + of_beta[h]).sigmoid()
        gamma = (of_gamma[h] + drive["start_bias"][h]).sigmoid()
        start = torch.zeros(width, width, dtype=x.dtype)
        for key, value in zip(slot_keys[:, h], slot_values[:, h], strict=True):
            start = start + torch.einsum("v,k->vk", value, _unit(key)) / len(slots)
        out, _ = delta_rule(_unit(q[:, h]), _unit(k[:, h]), v[:, h], alpha, beta, (1 - gamma) * start)
        outputs.append(rms_norm(part(layer, "norm"), out, eps))
    return linear(part(layer, "out"), torch.cat(outputs, 1) * gate.sigmoid())


def _unit(x: Tensor) -> Tensor:
    return x / ((x * x).sum(-1, keepdim=True) + 1e-6).sqrt()
