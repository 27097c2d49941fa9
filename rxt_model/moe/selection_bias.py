"""Balance without a loss (arXiv 2408.15664; DeepSeek-V3): a bias per expert, added to the router's logits where experts
are chosen, rises for experts that got too little and falls for those that got too much.

On logits and not, as published, on scores between 0 and 1: a probability among 384 experts is 0.0026 on average, and
steps of 0.001 would be coarse there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from rxt_model.decoder import Decoder, DecoderOutput
from rxt_model.layers import parts_of
from rxt_model.model import TokenModel
from rxt_model.moe.layer import MoELayer


def add_selection_bias(model: TokenModel) -> None:
    """Biases of zero for every expert layer, and a config that says so; a model that has biases keeps them."""
    if model.config.moe.selection_bias:
        return
    for layer in expert_layers(model.decoder):
        router = layer.router.weight
        layer.selection_bias = torch.zeros(router.shape[0], dtype=torch.float32, device=router.device)
    model.config = replace(model.config, moe=replace(model.config.moe, selection_bias=True))


def expert_layers(decoder: Decoder) -> list[MoELayer]:
    """In the order of `DecoderOutput.routing`."""
    return parts_of(decoder, MoELayer)


class LoadBalancer:
    """Counts the assignments of the training passes of `decoder` and moves its biases once per optimizer step:

        bias += delta - mean(delta),   delta = speed * sign(mean(count) - count)

    Counts are taken from what the decoder returns, so that layers recomputed in the backward pass count once. Raises
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
        """After the optimizer's; every rank must call it, also one that counted nothing since, for the others wait.
        Layers whose router is not trained keep their bias."""
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

    def range(self) -> float:
        """The widest distance between the biases of a layer, in logits."""
        biases = torch.stack(self._biases)
        return (biases.amax(1) - biases.amin(1)).max().item()

    def close(self) -> None:
        self._hook.remove()

    def _count(self, decoder: Decoder, _: tuple, output: DecoderOutput) -> None:
        if decoder.training and torch.is_grad_enabled():
            counts = torch.stack([load.assignments for load in output.routing])
            self._counts = counts if self._counts is None else self._counts + counts
