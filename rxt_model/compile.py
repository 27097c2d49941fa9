"""Fused token-wise operations on a GPU: norms, rotation, gates and residual sums by torch.compile."""

from __future__ import annotations

import torch
from torch import nn

from rxt_model.decoder import Decoder, DecoderLayer
from rxt_model.encoder import EncoderLayer
from rxt_model.moe import MoELayer


def compile_layers(module: nn.Module, backend: str = "inductor") -> nn.Module:
    """Compile every decoder and encoder layer of `module` in place and return it. Layers of one kind share their code.

    Routed experts stay outside: they are kernels already, and the device alone knows how many rows an expert gets.
    """
    for part in module.modules():
        if isinstance(part, MoELayer):
            part.routed = torch.compiler.disable(part.routed)
        elif isinstance(part, DecoderLayer | EncoderLayer):
            part.compile(backend=backend)
        elif isinstance(part, Decoder):
            part.read_projections = torch.compile(part.read_projections, backend=backend)
    return module
