"""The memory write as equations, for one conversation: memory [L, S, d], encoded interaction [L, T, d]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rxt_model.config import Architecture, AttentionConfig
from tests.reference.layers import State, cross_attention, linear, part, rms_norm, self_attention


def residual_gate(state: State, kind: str, activation: str, old: Tensor, new: Tensor) -> Tensor:
    """Old and new [S, d], slot by slot; s is the mean over channels of old + new."""
    if kind == "none":
        return old + new
    s = [(o + n).mean() for o, n in zip(old, new, strict=True)]
    slots = []
    for i, (o, n) in enumerate(zip(old, new, strict=True)):
        if kind == "static":
            logit = state["weight"][i]
        elif kind == "elementwise":
            logit = state["weight"][i] * s[i]
        else:
            logit = sum(state["mix.weight"][i, j] * s[j] for j in range(len(s))) + state["mix.bias"][i]
        if activation == "sigmoid":
            gate = 1 / (1 + (-logit).exp())
            slots.append((1 - gate) * o + gate * n)
        else:
            gate = logit.tanh()
            slots.append((1 - gate) * o + (1 + gate) * n)
    return torch.stack(slots)


def mean_of_layers(state: State, config: Architecture, memory: Tensor, layer: int) -> Tensor:
    """The one shared norm of the mean over the layer's group of consecutive layers, itself included or not."""
    size = len(memory) // config.memory.groups
    first = layer // size * size
    members = [i for i in range(first, first + size) if not (config.memory.exclude_self and i == layer)]
    return rms_norm(part(state, "mean_norm"), sum(memory[i] for i in members) / len(members), config.norm_eps)


def published_write(state: State, config: Architecture, memory: Tensor, encoded: Tensor, layer: int) -> Tensor:
    """STM = Gate(u, Attn(N_mem(u), RoPE keys of N_in(ED))), u prepared from the old memory of all layers."""
    own, c = part(state, f"layers.{layer}"), config.memory
    heads = c.attention or config.encoder_attention
    heads = AttentionConfig(heads.query_heads, heads.kv_heads)

    def gate(name: str, old: Tensor, new: Tensor) -> Tensor:
        return residual_gate(part(own, name), c.gate, c.activation, old, new)

    def norm(name: str, x: Tensor) -> Tensor:
        return rms_norm(part(own, name), x, config.norm_eps)

    u = memory[layer]
    if c.variant != "simple":
        n = norm("slot_norm", u)
        if c.variant == "self":
            source = n
        elif c.variant == "interlayer":
            source = mean_of_layers(state, config, memory, layer)
        else:
            source = gate("source_gate", n, mean_of_layers(state, config, memory, layer))
        u = gate("slot_gate", u, cross_attention(part(own, "slot_attention"), n, source, heads, config.rope_base))
    update = cross_attention(
        part(own, "read"),
        norm("memory_norm", u),
        norm("input_norm", encoded[layer]),
        heads,
        config.rope_base,
        key_positions=range(encoded.shape[1]),
    )
    return gate("write_gate", u, update)


def competitive_write(state: State, config: Architecture, memory: Tensor, encoded: Tensor, layer: int) -> Tensor:
    """Each token divides itself among the slots; a slot moves by as much as the largest share that it won."""
    own = part(state, f"layers.{layer}")
    m, tokens = memory[layer], rms_norm(part(own, "input_norm"), encoded[layer], config.norm_eps)
    heads = AttentionConfig(config.heads, config.heads)
    e = tokens + self_attention(part(own, "context"), tokens, heads, range(len(tokens)), config.rope_base)
    n = rms_norm(part(own, "memory_norm"), m, config.norm_eps) + own["slot_identity"]
    q, k, v = linear(part(own, "query"), n), linear(part(own, "key"), e), linear(part(own, "value"), e)
    a = (torch.einsum("sd,td->st", q, k) * own["log_temperature"].exp() / math.sqrt(m.shape[1])).softmax(0)
    slots = []
    for s in range(len(m)):
        won = sum(a[s, t] * v[t] for t in range(len(e))) / (a[s].sum() + 1e-6)
        u = linear(part(own, "out"), won[None])[0]
        g = linear(part(own, "gate"), torch.cat((n[s], u))[None])[0].sigmoid() * a[s].max()
        slots.append((1 - g) * m[s] + g * u)
    return torch.stack(slots)


def importance(state: State, config: Architecture, states: Tensor, layer: int) -> Tensor:
    """w_2 SiLU(W_1 N(x) + b_1) + b_2 of every state [T, d]: [T]."""
    own = part(state, f"layers.{layer}.score")
    z = linear(part(own, "1"), rms_norm(part(own, "0"), states, config.norm_eps))
    return linear(part(own, "3"), z * z.sigmoid())[:, 0]


def selective_write(state: State, config: Architecture, memory: Tensor, encoded: Tensor, layer: int) -> Tensor:
    """The S most important of slots and tokens, as they came; what was never written counts for nothing."""
    both = torch.cat((memory[layer], encoded[layer]))
    scores = importance(state, config, both, layer).tolist()
    for slot, content in enumerate(memory[layer]):
        if (content * content).mean().sqrt() < 0.1:
            scores[slot] = -math.inf
    best = sorted(range(len(both)), key=lambda i: -scores[i])
    return torch.stack([both[i] for i in sorted(best[: len(memory[layer])])])


PUBLISHED = ("simple", "self", "interlayer", "gated", "grouped")
LAYER_WRITES = {
    **dict.fromkeys(PUBLISHED, published_write),
    "competitive": competitive_write,
    "selective": selective_write,
}
"""By variant."""


def write(state: State, config: Architecture, memory: Tensor, encoded: Tensor) -> Tensor:
    """STM_t of all layers from STM_{t-1}; `state` of the memory attention."""
    variant = config.memory.variant
    assert variant in LAYER_WRITES, f"LAYER_WRITES of tests/reference/memory.py has no equation for {variant}"
    layer_write = LAYER_WRITES[variant]
    return torch.stack([layer_write(state, config, memory, encoded, layer) for layer in range(len(memory))])
