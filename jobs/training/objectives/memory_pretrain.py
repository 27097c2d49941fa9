"""Stage `memory-pretrain`: prepare the model to use memory, in one of two ways.

`Reading`: decoder and encoder learn to answer from the raw encoder states of all earlier interactions, before any
compression. In our study a model that starts with compressed memory stays for thousands of steps on a plateau where
it keeps values but not what they belong to; reading first leaves it.
`SelfSupervised`: the published stage; the memory attention alone learns to blend encoder states into slots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jobs.configs.training import MemoryPretrainConfig
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from rxt_model.heads import cross_entropy
from rxt_model.memory.statistics import memory_statistics
from rxt_model.model import ReactiveTransformer


class Reading(Objective[ReactiveTransformer]):
    """Batches of conversations: input_ids, loss_mask [B, N, T], turn_mask [B, N]."""

    def __init__(self, model: ReactiveTransformer, config: MemoryPretrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        return [self.model.embedding, self.model.encoder, self.model.decoder]

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        model, ids = self.model, batch["input_ids"]
        conversations, turns, length = ids.shape
        real = ids != model.config.tokens.pad
        flat, flat_real = ids.flatten(0, 1), real.flatten(0, 1)
        states = model.encode(flat, flat_real).unflatten(1, (conversations, turns)).flatten(2, 3)

        # the real tokens of each conversation side by side, without the padding that most of it is
        kept, order = real.flatten(1).sort(dim=1, descending=True, stable=True)
        longest = int(kept.sum(1).max())
        kept, order = kept[:, :longest], order[:, :longest]
        states = states.gather(2, order[None, :, :, None].expand(states.shape[0], -1, -1, states.shape[3]))

        # turn t reads the tokens of the turns before it, and the start memory, so that turn 1 has something to read
        start = model.initial_memory(conversations, context.generator).to(states.dtype)
        earlier = (order // length)[:, None] < torch.arange(turns, device=ids.device)[:, None]
        readable = F.pad(kept[:, None] & earlier, (start.shape[2], 0), value=True).flatten(0, 1)

        output = model.decode(flat, torch.cat((start, states), 2), mask=flat_real, memory_mask=readable)
        supervised = batch["loss_mask"].flatten(0, 1)[:, 1:]
        head, z_weight = model.decoder.head, self.config.head_z_weight
        lm = cross_entropy(head, output.hidden[:, :-1], flat[:, 1:], supervised, z_weight)
        routing, routing_metrics = routing_loss(output.routing, self.config)
        return lm.loss / global_count(lm.count) + routing, {
            **token_metrics(lm),
            **routing_metrics,
            "train/tokens": metric(real.sum(), torch.ones(())),
        }


class SelfSupervised(Objective[ReactiveTransformer]):
    """Cosine between the written memory and (1 - w_t) * STM_{t-1} + w_t * ED_t; encoder frozen, target detached."""

    def __init__(self, model: ReactiveTransformer, config: MemoryPretrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        return [self.model.memory_attention]

    def weight(self, turn: int) -> float:
        """w_t of turn t (from 0): the first write takes almost everything, later ones less and less."""
        c = self.config
        if turn == 0:
            return c.write_first
        return max(c.write_minimum, c.write_start - c.write_decrease * turn)

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        model, ids = self.model, batch["input_ids"]
        memory = model.initial_memory(ids.shape[0], context.generator)
        similarity, cells = torch.zeros(()), torch.zeros(())
        for turn in range(ids.shape[1]):
            real = ids[:, turn] != model.config.tokens.pad
            present = batch["turn_mask"][:, turn].float()
            with torch.no_grad():
                encoded = model.encode(ids[:, turn], real)
                target = torch.lerp(memory, _resample(encoded, real, memory.shape[2]), self.weight(turn))
            written = model.write(memory, encoded, real)
            cosine = F.cosine_similarity(written, target, dim=-1).mean((0, 2))
            similarity, cells = similarity + (cosine * present).sum(), cells + present.sum()
            memory = written.detach()
        statistics = memory_statistics(memory)
        one = torch.ones(())
        return -similarity / global_count(cells), {
            "train/loss": metric(-similarity, cells),
            "memory/cosine": metric(similarity, cells),
            "memory/rms": metric(statistics.rms.mean(), one),
            "memory/effective_rank": metric(statistics.effective_rank.mean(), one),
            "train/tokens": metric((ids != model.config.tokens.pad).sum(), one),
        }


def _resample(encoded: Tensor, real: Tensor, slots: int) -> Tensor:
    """Encoded data [L, B, T, d] -> [L, B, slots, d] over each row's real tokens: means of neighbours where these are
    more than the slots, so that none is left out, and linear interpolation where they are fewer."""
    rows = []
    for row, mask in zip(encoded.unbind(1), real, strict=True):
        tokens = row[:, : max(1, int(mask.sum()))].transpose(1, 2)
        if tokens.shape[2] > slots:
            rows.append(F.adaptive_avg_pool1d(tokens, slots))
        else:
            rows.append(F.interpolate(tokens, size=slots, mode="linear", align_corners=True))
    return torch.stack(rows, 1).transpose(2, 3)
