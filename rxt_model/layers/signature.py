"""The signature of a token says where it stands: which two tokens come before it, and what its interaction is about.

It is computed from embeddings alone. The encoder adds to each state of the last layer the signature of its token. The
decoder computes the signature of the token that it says next, and a copying head matches the two. So it finds, from its
first step on, tokens that followed the same words. Attention alone takes long to learn this in a small model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import random_rotation, shifted, wide

PARTS = 3  # the last token, the one before it, the topic
TOPIC_RMS = 0.5  # that of a fresh embedding
HIDDEN = -1e4  # score of a token that the topic leaves out


class Signature(nn.Module):
    """Computes signatures. `place` is the distance of the last token before: 1 for a token itself, 0 for the token that
    comes next. The topic is an average of the tokens that a token sees, weighted by a learned score."""

    def __init__(self, dim: int, place: int) -> None:
        super().__init__()
        self.distances = (place, place + 1)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(self, x: Tensor, layout: Layout, positions: Tensor, visible: Tensor) -> Tensor:
        """Return the signatures [R, 3 d] of embedded real tokens x [R, d] at `positions` [R]. `visible` [B or 1, T, T]
        says which tokens count in the topic of which."""
        before = [shifted(x, k) * (shifted(positions, k) == positions - k)[:, None] for k in self.distances]
        return torch.cat([*before, layout.pack(self._topic(layout.pad(x), visible))], -1)

    def extend(self, x: Tensor, layout: Layout, cache: KeyValueCache, visible: Tensor) -> Tensor:
        """Return the signatures [R, 3 d] of new tokens x [R, d] whose earlier tokens are cached."""
        seen = cache.extend(self, layout.pad(x)[:, None])[0][:, 0]
        rows = torch.arange(len(seen), device=x.device)[:, None]
        places = [cache.positions - k for k in self.distances]
        before = [layout.pack(seen[rows, at.clamp(min=0)] * (at >= 0)[..., None]) for at in places]
        return torch.cat([*before, layout.pack(self._topic(seen, visible))], -1)

    def _topic(self, seen: Tensor, visible: Tensor) -> Tensor:
        scores = wide(self.score(seen).transpose(1, 2)).masked_fill(~visible, HIDDEN)
        average = scores.softmax(-1).to(seen.dtype) @ seen
        return TOPIC_RMS * F.rms_norm(average, average.shape[-1:], eps=1e-6)


class Mark(nn.Linear):
    """Turns a signature into what the encoder adds to a state: one random rotation for each part, so that the parts
    differ from the state and from each other."""

    own_start = ("weight",)

    def __init__(self, dim: int) -> None:
        super().__init__(PARTS * dim, dim, bias=False)
        if not self.weight.is_meta:
            with torch.no_grad():
                self.weight.copy_(torch.cat([random_rotation(dim) for _ in range(PARTS)], 1))
