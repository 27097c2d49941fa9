"""Fuse token-wise operations on a GPU (norms, rotation, gates, residual sums) with torch.compile.

This serves those who train or run the model with a loop of their own. The stages of the pipeline do not compile layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rxt_model.decoder import Decoder, DecoderLayer
from rxt_model.delta.layer import GatedDelta
from rxt_model.encoder import EncoderLayer
from rxt_model.moe.layer import MoELayer


def compile_layers(module: nn.Module, backend: str = "inductor") -> nn.Module:
    """Compile every decoder and encoder layer of `module` in place, and return `module`. Layers of one kind share code.

    A deep copy would compute with the weights of the original, so compile each copy by itself. Routed experts are not
    compiled: they are kernels already, and only the device knows how many rows an expert gets. Nor is a Gated DeltaNet,
    whose steps are as many as the longest sequence has chunks. To recompute layers in
    the backward pass (`checkpoint_activations`), compile first: in the other order torch would not compile them.
    """
    for part in module.modules():
        if isinstance(part, MoELayer):
            part.routed = torch.compiler.disable(part.routed)
        elif isinstance(part, GatedDelta):
            part.forward = torch.compiler.disable(part.forward)
        elif isinstance(part, DecoderLayer | EncoderLayer):
            # the module's own `compile()` would also compile what is later put around `forward`
            compiled: Any = torch.compile(part.forward, backend=backend)
            part.forward = compiled
        elif isinstance(part, Decoder):
            part.read_projections = torch.compile(part.read_projections, backend=backend)
    return module
