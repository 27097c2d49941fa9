"""Balance the experts without a loss (arXiv 2408.15664; DeepSeek-V3), by a bias per expert.

The bias is added to the router's logits only to choose the experts. It rises for experts that got too few tokens, and
falls for those that got too many. The publications add it to scores between 0 and 1. We add it to logits, since a
probability among 384 experts is 0.0026 on average, where steps of 0.001 would be coarse.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from rxt_model.decoder import Decoder, DecoderOutput
from rxt_model.layers.parts import parts_of
from rxt_model.model import TokenModel
from rxt_model.moe.layer import MoELayer


def add_selection_bias(model: TokenModel) -> None:
    """Give every expert layer biases of zero, and note it in the config. A model that has biases keeps them."""
    if model.config.moe.selection_bias:
        return
    for layer in expert_layers(model.decoder):
        router = layer.router.weight
        layer.selection_bias = torch.zeros(router.shape[0], dtype=torch.float32, device=router.device)
    model.config = replace(model.config, moe=replace(model.config.moe, selection_bias=True))


def expert_layers(decoder: Decoder) -> list[MoELayer]:
    """Return the expert layers in the order of `DecoderOutput.routing`."""
    return parts_of(decoder, MoELayer)


class LoadBalancer:
    """Counts the assignments of the training passes of `decoder`, and moves its biases once per optimizer step:

        bias += delta - mean(delta),   delta = speed * sign(mean(count) - count)

    Counts are taken from what the decoder returns, so layers recomputed in the backward pass count once. Raises
    ValueError for a decoder without biases.
    """

    def __init__(self, decoder: Decoder, speed: float) -> None:
        self.layers, self.speed = expert_layers(decoder), speed
        self._biases = [layer.selection_bias for layer in self.layers if layer.selection_bias is not None]
        if len(self._biases) < len(self.layers):
            raise ValueError(f"bias_speed = {speed}: must be 0 for a decoder without selection biases")
        self._counts: Tensor | None = None
        self._hook = decoder.register_forward_hook(self._count)

    @torch.no_grad()
    def step(self) -> None:
        """Move the biases; call this after the optimizer's step. Every rank must call it, even if it counted nothing,
        since the others wait for it. Layers whose router is not trained keep their bias."""
        counts, self._counts = self._counts, None
        if counts is None:
            counts = torch.stack([torch.zeros_like(bias) for bias in self._biases])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        delta = self.speed * (counts.mean(1, keepdim=True) - counts).sign()
        delta -= delta.mean(1, keepdim=True)
        for layer, bias, own in zip(self.layers, self._biases, delta.unbind(0), strict=True):
            if layer.router.weight.requires_grad:
                bias += own

    def drop(self) -> None:
        """Forget what was counted since the last step."""
        self._counts = None

    def range(self) -> float:
        """Return the widest distance between the biases of a layer, in logits."""
        biases = torch.stack(self._biases)
        return (biases.amax(1) - biases.amin(1)).max().item()

    def close(self) -> None:
        """Stop counting."""
        self._hook.remove()

    def _count(self, decoder: Decoder, _: tuple, output: DecoderOutput) -> None:
        if decoder.training and torch.is_grad_enabled():
            counts = torch.stack([load.assignments for load in output.routing])
            self._counts = counts if self._counts is None else self._counts + counts
