"""Fused token-wise operations on a GPU: norms, rotation, gates and residual sums by torch.compile.

For those who train or run the model by themselves; the stages of the pipeline leave their layers as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rxt_model.decoder import Decoder, DecoderLayer
from rxt_model.encoder import EncoderLayer
from rxt_model.moe.layer import MoELayer


def compile_layers(module: nn.Module, backend: str = "inductor") -> nn.Module:
    """Compile every decoder and encoder layer of `module` in place and return it. Layers of one kind share their code.
    A deep copy of it would compute with the weights of the original: compile copies by themselves.

    Routed experts stay outside: they are kernels already, and the device alone knows how many rows an expert gets.
    Layers that are to be recomputed (`checkpoint_activations`) must be compiled first: the other way round torch runs
    them as they were.
    """
    for part in module.modules():
        if isinstance(part, MoELayer):
            part.routed = torch.compiler.disable(part.routed)
        elif isinstance(part, DecoderLayer | EncoderLayer):
            # not the module's own `compile()`, which would take in what is put around `forward` later
            compiled: Any = torch.compile(part.forward, backend=backend)
            part.forward = compiled
        elif isinstance(part, Decoder):
            part.read_projections = torch.compile(part.read_projections, backend=backend)
    return module
