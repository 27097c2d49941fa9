"""Stage `memory-pretrain` prepares the model to use memory, in one of two ways.

`Reading`: decoder and encoder learn to answer from the raw encoder states of all earlier interactions, without
compression. In our study, a model that starts with compressed memory learns values but for thousands of steps not which
fact each belongs to. A model that first reads raw states overcomes this. Meanwhile a selective write learns which
states are read.
`SelfSupervised` (the published stage): only the memory attention learns, to blend encoder states into slots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jobs.configs.training import MemoryPretrainConfig
from jobs.training.objectives.base import Objective, StepContext, global_count, metric
from jobs.training.objectives.collapse import rank_metrics
from jobs.training.objectives.reading import reading_loss
from rxt_model.memory.statistics import memory_statistics
from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer


class Reading(Objective[ReactiveTransformer]):
    """Trains on conversations: input_ids, loss_mask [B, N, T], and optionally `decoded` [B, N]."""

    def __init__(self, model: ReactiveTransformer, config: MemoryPretrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        readers: list[nn.Module] = [*self.model.tables(), self.model.encoder, self.model.decoder]
        return [*readers, self.model.memory_attention] if self._teaches(step) else readers

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        return reading_loss(self.model, batch, context, self.config, importance=self._teaches(context.step))

    def _teaches(self, step: int) -> bool:
        return self.model.memory_attention.selects and step >= self.config.importance_from


class SelfSupervised(Objective[ReactiveTransformer]):
    """Maximises the cosine between the written memory and the target (1 - w_t) * STM_{t-1} + w_t * ED_t. The encoder is
    frozen, and the target has no gradient."""

    def __init__(self, model: ReactiveTransformer, config: MemoryPretrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        return [self.model.memory_attention]

    def weight(self, turn: int) -> float:
        """Return w_t of turn t (from 0). By default it is large for the first write, and falls from turn to turn."""
        c = self.config
        if turn == 0:
            return c.write_first
        return max(c.write_minimum, c.write_start - c.write_decrease * turn)

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        model, whole = self.model, batch["input_ids"]
        ids, mask = remembered(whole, whole != model.config.tokens.pad, model.config)
        memory = model.initial_memories(context.generators(batch, "memory"))
        similarity, cells = torch.zeros(()), torch.zeros(())
        for turn in range(ids.shape[1]):
            real = mask[:, turn]
            present = batch["turn_mask"][:, turn].float()
            with torch.no_grad():
                encoded = model.encode(ids[:, turn], real, memory=memory)
                target = torch.lerp(memory, _resample(encoded, real, memory.shape[2]), self.weight(turn))
            written = model.write(memory, encoded, real)
            cosine = F.cosine_similarity(written, target, dim=-1).mean((0, 2))
            similarity, cells = similarity + (cosine * present).sum(), cells + present.sum()
            memory = written.detach()
        states = memory[..., : model.config.dim]
        statistics = memory_statistics(states)
        one = torch.ones(())
        return -similarity / global_count(cells), {
            "train/loss": metric(-similarity, cells),
            **rank_metrics(states, context),
            "memory/cosine": metric(similarity, cells),
            "memory/rms": metric(statistics.rms.mean(), one),
            "memory/effective_rank": metric(statistics.effective_rank.mean(), one),
            "train/tokens": metric(mask.sum(), one),
        }


def _resample(encoded: Tensor, real: Tensor, slots: int) -> Tensor:
    """Resample the real tokens of encoded data [L, B, T, d] to [L, B, slots, d]. If a row has more tokens than slots,
    neighbours are averaged, so that none is left out. Otherwise tokens are interpolated linearly."""
    rows = []
    for row, mask in zip(encoded.unbind(1), real, strict=True):
        tokens = row[:, : max(1, int(mask.sum()))].transpose(1, 2)
        if tokens.shape[2] > slots:
            rows.append(F.adaptive_avg_pool1d(tokens, slots))
        else:
            rows.append(F.interpolate(tokens, size=slots, mode="linear", align_corners=True))
    return torch.stack(rows, 1).transpose(2, 3)
