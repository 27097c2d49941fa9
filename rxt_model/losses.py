"""The loss over selected tokens, which never holds more logits than it needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rxt_model.copying.matching import NEVER
from rxt_model.decoder import DecoderOutput
from rxt_model.layers.heads import MLMHead
from rxt_model.layers.linear_cross_entropy import CHUNK_LOGITS, LARGE_CHUNK, linear_cross_entropy
from rxt_model.layers.parts import wide


@dataclass(frozen=True)
class TokenLoss:
    """The loss over n selected positions. `loss`, which is minimised, is the sum of the cross entropies plus
    z_weight * z. `right` [n] tells which predictions are right, in order. Without gradient: `nats`, the cross entropies
    alone, and `z`, the sum of the squared log-sum-exps of the logits."""

    loss: Tensor
    right: Tensor
    nats: Tensor
    z: Tensor

    @property
    def correct(self) -> Tensor:
        """The number of right predictions, []."""
        return self.right.sum()

    @property
    def count(self) -> Tensor:
        """The number of predictions, [] fp32."""
        return self.right.new_tensor(self.right.numel(), dtype=torch.float32)


def cross_entropy(
    head: nn.Linear | MLMHead, hidden: Tensor, targets: Tensor, selected: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Return the summed cross entropy of head(hidden) [.., d] against targets [..] where `selected` [..] is True, with
    the z-loss of PaLM (arXiv 2204.02311): z_weight * logsumexp(logits)^2.

    Selected positions are gathered before the head, and logits exist only in chunks.
    """
    index = selected.flatten().nonzero().squeeze(1)
    rows, labels = hidden.flatten(0, -2)[index], targets.flatten()[index]
    if isinstance(head, MLMHead):
        rows, head = head.features(rows), head.decode
    found = linear_cross_entropy(rows, head.weight, head.bias, labels, z_weight)
    return TokenLoss(found.loss, found.right, found.loss.detach() - z_weight * found.z, found.z)


def following(
    head: nn.Linear, output: DecoderOutput, ids: Tensor, selected: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Score the decoder's output at ids [B, T] by the token after each, where `selected` [B, T - 1] is True. The output
    may be that of the same selected tokens alone. Raises ValueError if it is that of more or fewer."""
    row, column = selected.nonzero(as_tuple=True)
    labels, output = ids[row, column + 1], output._replace(matched=None)
    if output.hidden.dim() == 3:
        output = output.at(row, column)
    if len(output.hidden) != len(labels):
        raise ValueError(f"selected: has {len(labels)} tokens, must have the {len(output.hidden)} of the output")
    if output.pointers is None:
        return cross_entropy(head, output.hidden, labels, torch.ones_like(labels, dtype=torch.bool), z_weight)
    return _mixed_cross_entropy(head, output, labels, z_weight)


def next_tokens(
    head: nn.Linear, output: DecoderOutput, ids: Tensor, documents: Tensor, z_weight: float = 0.0
) -> TokenLoss:
    """Score the decoder's output at ids [B, T] by the next token of the same document."""
    return following(head, output, ids, goes_on(documents), z_weight)


def goes_on(documents: Tensor) -> Tensor:
    """Say after which tokens another of the same document follows, [B, T - 1]; documents [B, T] are -1 at padding."""
    return (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)


def _mixed_cross_entropy(head: nn.Linear, output: DecoderOutput, labels: Tensor, z_weight: float) -> TokenLoss:
    """Return the loss of the copying head's mixture at selected tokens [n]. Logits exist only in chunks: the backward
    pass makes them again."""
    size = max(1, CHUNK_LOGITS.get(labels.device.type, LARGE_CHUNK) // head.out_features)
    parts = [
        checkpoint(_mixed_part, head, output.at(slice(start, start + size)), labels[start : start + size],
                   use_reentrant=False, preserve_rng_state=False)
        for start in range(0, max(1, len(labels)), size)
    ]  # fmt: skip
    nats, z, right = (torch.cat(part) for part in zip(*parts, strict=True))
    return TokenLoss(nats.sum() + z_weight * z.sum(), right, nats.sum().detach(), z.sum().detach())


def _mixed_part(head: nn.Linear, output: DecoderOutput, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cross entropies, squared log-sum-exps and hits of some tokens, each [n]."""
    pointers, logits = output.pointers, wide(head(output.hidden))
    assert pointers is not None
    normaliser = logits.logsumexp(-1)
    own = logits.gather(-1, labels[:, None]).squeeze(-1) - normaliser + pointers.vocabulary
    copied = pointers.shares.masked_fill(pointers.ids != labels[:, None], NEVER).logsumexp(-1)
    nats, z = -torch.logaddexp(own, copied), normaliser.square()
    with torch.no_grad():  # last: the backward pass makes only what it needs again, and that stands above
        right = pointers.likeliest(logits - normaliser[:, None]) == labels
    return nats, z, right
