"""The layers as equations: plain functions of a state dict, for one row of tokens without padding.

Written from the papers (RxT arXiv 2510.03561, SQA arXiv 2510.01817, gated attention arXiv 2505.06708), slowly and
plainly, as the expected values of tests. Nothing here knows of batches, masks of padding, packing or caches: a row
that is computed alone is what those must not change. Linear maps are stored as [out, in].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rxt_model.config import AttentionConfig

State = Mapping[str, Tensor]


def part(state: State, prefix: str) -> State:
    """Return the parameters below `prefix`, by their names there."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in state.items() if name.startswith(prefix + ".")}


def linear(state: State, x: Tensor) -> Tensor:
    y = torch.einsum("ti,oi->to", x, state["weight"])
    return y + state["bias"] if "bias" in state else y


def rms_norm(state: State, x: Tensor, eps: float) -> Tensor:
    """x * w / sqrt(mean(x^2) + eps)"""
    return x * state["weight"] / ((x * x).mean(-1, keepdim=True) + eps).sqrt()


def rope(x: Tensor, positions: Sequence[int], base: float) -> Tensor:
    """x [T, heads, d_h]: the pair (2i, 2i + 1) at position p turns by the angle p * base^(-2i / d_h)."""
    width = x.shape[-1]
    turn = torch.zeros(len(positions), width, width, dtype=x.dtype)
    for row, position in enumerate(positions):
        for i in range(0, width, 2):
            angle = position * base ** (-i / width)
            turn[row, i, i] = turn[row, i + 1, i + 1] = math.cos(angle)
            turn[row, i, i + 1], turn[row, i + 1, i] = -math.sin(angle), math.sin(angle)
    return torch.einsum("tij,thj->thi", turn, x)


def neighbours(state: State, x: Tensor, offsets: Sequence[int]) -> Tensor:
    """x_t + W [x_{t - k} for each k], x being 0 outside of the row."""
    rows = []
    for t in range(len(x)):
        beside = [x[t - k] if 0 <= t - k < len(x) else torch.zeros_like(x[t]) for k in offsets]
        rows.append(x[t] + linear(state, torch.cat(beside)[None])[0])
    return torch.stack(rows)


def attention_weights(q: Tensor, k: Tensor, causal: bool = False) -> Tensor:
    """q [T, H_q, d_h], k [S, H_kv, d_h] -> [T, H_q, S]; each key-value head serves H_q / H_kv query heads."""
    rows = []
    for t, query in enumerate(q):
        seen = t + 1 if causal else len(k)
        for head, one in enumerate(query):
            shared = head // (q.shape[1] // k.shape[1])
            weights = (torch.einsum("d,sd->s", one, k[:seen, shared]) / math.sqrt(q.shape[-1])).softmax(0)
            rows.append(torch.cat((weights, weights.new_zeros(len(k) - seen))))
    return torch.stack(rows).reshape(*q.shape[:2], len(k))


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """q [T, H_q, d_h], k and v [S, H_kv, d_h] -> [T, H_q, d_h]."""
    weights, repeat = attention_weights(q, k, causal), q.shape[1] // k.shape[1]
    return torch.stack([torch.einsum("ts,sd->td", weights[:, h], v[:, h // repeat]) for h in range(q.shape[1])], 1)


def self_attention(
    state: State, x: Tensor, heads: AttentionConfig, positions: Sequence[int], base: float, causal: bool = False
) -> Tensor:
    """out = W_O(A * sigmoid(W_g x)), q and k rotated; one fused projection holds q, k, v and gate, in this order."""
    q_heads, kv_heads = heads.query_heads, heads.kv_heads
    width = state["out.weight"].shape[1] // q_heads
    gates = {"none": 0, "headwise": q_heads, "elementwise": q_heads * width}[heads.gate]
    fused = linear(part(state, "project"), x)
    q, k, v, gate = fused.split((q_heads * width, kv_heads * width, kv_heads * width, gates), -1)
    q, k, v = (y.reshape(len(x), -1, width) for y in (q, k, v))
    attended = attention(rope(q, positions, base), rope(k, positions, base), v, causal)
    if heads.gate == "headwise":
        attended = torch.einsum("thd,th->thd", attended, gate.sigmoid())
    attended = attended.flatten(1)
    if heads.gate == "elementwise":
        attended = attended * gate.sigmoid()
    return linear(part(state, "out"), attended)


def cross_attention(
    state: State,
    x: Tensor,
    source: Tensor,
    heads: AttentionConfig,
    base: float,
    query_positions: Sequence[int] | None = None,
    key_positions: Sequence[int] | None = None,
) -> Tensor:
    """Attn(W_Q x, W_K source, W_V source); only the side whose positions are given has an order."""
    q, k, v = _cross_heads(state, x, source, heads, base, query_positions, key_positions)
    return linear(part(state, "out"), attention(q, k, v).flatten(1))


def cross_attention_weights(
    state: State, x: Tensor, source: Tensor, heads: AttentionConfig, base: float, query_positions: Sequence[int]
) -> Tensor:
    """What each row of x gives each row of the source, by head: [T, H_q, S]."""
    q, k, _ = _cross_heads(state, x, source, heads, base, query_positions, None)
    return attention_weights(q, k)


def _cross_heads(
    state: State,
    x: Tensor,
    source: Tensor,
    heads: AttentionConfig,
    base: float,
    query_positions: Sequence[int] | None,
    key_positions: Sequence[int] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    width = state["out.weight"].shape[1] // heads.query_heads
    q = linear(part(state, "query"), x).reshape(len(x), -1, width)
    k, v = linear(part(state, "key_value"), source).reshape(len(source), 2, -1, width).unbind(1)
    if query_positions is not None:
        q = rope(q, query_positions, base)
    if key_positions is not None:
        k = rope(k, key_positions, base)
    return q, k, v


def swiglu(state: State, x: Tensor) -> Tensor:
    """W_down(a * SiLU(g)) where (a, g) = W_up x"""
    a, g = linear(part(state, "up"), x).tensor_split(2, -1)
    return linear(part(state, "down"), a * g * g.sigmoid())


class Load(NamedTuple):
    """For the tokens of one layer: the experts that each chose, its probabilities over all experts [T, E], and the log
    of the denominator of these [T]."""

    chosen: list[int]
    probabilities: Tensor
    log_totals: Tensor


def mixture(state: State, x: Tensor, top_k: int) -> tuple[Tensor, Load]:
    """Send each token to its top-k experts, with weights renormalised; add the shared experts under their own
    softmax."""
    rows, chosen, probabilities, log_totals = [], [], [], []
    shared = sorted({name.split(".")[2] for name in state if name.startswith("shared.experts.")})
    for token in x:
        z = torch.einsum("ei,i->e", state["router.weight"], token)
        p = z.softmax(0)
        best = sorted(range(len(p)), key=lambda e: -p[e].item())[:top_k]
        y = state["bias"]
        for e in best:
            up, down = state["experts.w_in"][e].T, state["experts.w_out"][e].T
            expert = swiglu({"up.weight": up, "down.weight": down}, token[None])[0]
            y = y + p[e] / sum(p[other] for other in best) * expert
        if shared:
            weights = torch.ones(1)
            if len(shared) > 1:
                weights = linear(part(state, "shared.gate"), token[None])[0].softmax(0)
            y = y + state["shared.bias"]
            for weight, name in zip(weights, shared, strict=True):
                y = y + weight * swiglu(part(state, f"shared.experts.{name}"), token[None])[0]
        rows.append(y)
        chosen += best
        probabilities.append(p)
        log_totals.append(z.exp().sum().log())
    return torch.stack(rows), Load(chosen, torch.stack(probabilities), torch.stack(log_totals))


def balance(rows: Sequence[Sequence[Load]]) -> Tensor:
    """E * sum_i f_i P_i, mean over layers; `rows` holds one load per layer for each row of a batch."""
    losses = []
    for layer in zip(*rows, strict=True):
        probabilities = torch.cat([load.probabilities for load in layer])
        chosen = [expert for load in layer for expert in load.chosen]
        experts = probabilities.shape[1]
        losses.append(sum(experts * chosen.count(e) / len(chosen) * probabilities[:, e].mean() for e in range(experts)))
    return sum(losses) / len(losses)


def router_z(rows: Sequence[Sequence[Load]]) -> Tensor:
    """(log sum exp)^2 of the router's logits, mean over tokens, then over layers."""
    layers = [torch.cat([load.log_totals for load in layer]) for layer in zip(*rows, strict=True)]
    return sum((totals * totals).mean() for totals in layers) / len(layers)
