"""Draw fresh weights. Optionally, a new model already repeats the tokens it attends to."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rxt_model.decoder import Decoder
from rxt_model.layers.attention import CrossAttention, SelfAttention
from rxt_model.layers.parts import random_rotation


def initialise(module: nn.Module, layers: int) -> None:
    """Draw normal weights with variance 1 / fan-in. Projections back into the residual stream are divided by
    sqrt(2 * layers). Parameters that a module names in `own_start` keep the values from its constructor."""
    kept = {id(getattr(part, name)) for part in module.modules() for name in _own_start(part)}
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2 or id(parameter) in kept:
            continue
        if "embedding" in name:
            nn.init.normal_(parameter, std=0.5)
            continue
        fan_in = parameter.shape[-2] if parameter.dim() == 3 else parameter.shape[-1]
        shrink = math.sqrt(2 * layers) if name.endswith(("down.weight", "out.weight", "w_out")) else 1.0
        nn.init.normal_(parameter, std=1 / math.sqrt(fan_in) / shrink)


def _own_start(part: nn.Module) -> tuple[str, ...]:
    names = getattr(part, "own_start", ())
    return names if isinstance(names, tuple) else ()


@torch.no_grad()
def start_copying(embedding: nn.Embedding, decoder: Decoder) -> None:
    """Make a new model predict the token that it attends to.

    The head starts as the rotated embedding. In the middle layers the memory read, or self-attention if there is no
    memory, starts as the same rotation. Otherwise the model must learn for each word how to turn its state into its
    logit. In our study on 800 value words, this start halved the steps until stored values are read back. The rotation
    is random, so that a token in the residual stream does not predict itself.
    """
    if embedding.weight.is_meta:
        return
    rotation = random_rotation(embedding.embedding_dim)
    decoder.head.weight.copy_(0.2 * embedding.weight @ rotation)
    for layer in decoder.stateful:
        attention = layer.memory_read if hasattr(layer, "memory_read") else layer.attention
        assert isinstance(attention, CrossAttention | SelfAttention), "a Gated DeltaNet stands beside a memory read"
        values = _values(attention)
        values.copy_(random_rotation(values.shape[1])[: values.shape[0]])
        heads = values.unflatten(0, (attention.kv_heads, -1))
        repeat = attention.query_heads // attention.kv_heads
        attention.out.weight.copy_((heads.repeat_interleave(repeat, 0).flatten(0, 1) @ rotation).T / repeat)


def _values(attention: SelfAttention | CrossAttention) -> Tensor:
    """Return the rows [kv_heads * head_dim, d] of a fused projection that compute the values."""
    if isinstance(attention, CrossAttention):
        return attention.key_value.weight.chunk(2)[1]
    heads = attention.project.weight[: attention.widths[0]].unflatten(
        0, (attention.query_heads + 2 * attention.kv_heads, -1)
    )
    return heads[-attention.kv_heads :].flatten(0, 1)
