"""Stage `smat` is supervised memory-aware training. It back-propagates through several memory writes.

L_t = CE(answer of turn t | query_t, STM_{t-1}) and STM_t = write(STM_{t-1}, encode(turn t)). The losses of all turns
are summed. Turn 1 reads the random start memory (arXiv 2510.03561).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jobs.configs.training import SmatConfig, SmatPhase
from jobs.training.batching.batches import DECODED
from jobs.training.objectives.balance import Tasks, routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from jobs.training.objectives.collapse import rank_metrics
from jobs.training.objectives.naming import naming_loss
from jobs.training.objectives.reading import reading_loss
from jobs.training.objectives.unroll import unroll
from rxt_model.losses import following
from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer

PER_TURN = ("input_ids", "loss_mask", "turn_mask", DECODED)


class Smat(Objective[ReactiveTransformer]):
    """Trains on conversations: input_ids, loss_mask [B, N, T], turn_mask and optionally `decoded` [B, N]. N grows with
    the phases.

    In every `reading_every`-th step of training the decoder reads raw states. A selective write learns from these
    reads, so that its importance follows the changing decoder.
    """

    def __init__(self, model: ReactiveTransformer, config: SmatConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def trained(self, step: int) -> list[nn.Module]:
        parts = {
            "decoder": [*self.model.tables(), self.model.decoder],
            "memory": [self.model.memory_attention],
            "encoder": [self.model.encoder],
        }
        return [module for name in self.phase(step).train for module in parts[name]]

    def phase(self, step: int) -> SmatPhase:
        """Return the phase that contains `step`. The last phase has no end."""
        return next((p for p in self.config.phases if step < p.until), self.config.phases[-1])

    def _reads_states(self, step: int) -> bool:
        every = self.config.reading_every
        return self.training and every > 0 and (step + 1) % every == 0

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        model, limit = self.model, self.phase(context.step).turns
        batch = batch | {name: batch[name][:, :limit] for name in PER_TURN if name in batch}
        if self._reads_states(context.step):
            return reading_loss(model, batch, context, self.config, importance=model.memory_attention.selects)
        ids, loss_mask, present = (batch[name] for name in ("input_ids", "loss_mask", "turn_mask"))
        decoded = (present & batch.get(DECODED, present)).flatten().nonzero().squeeze(1)
        real = ids != model.config.tokens.pad
        rows = present.flatten().nonzero().squeeze(1)
        flat, flat_real = (part.flatten(0, 1)[rows] for part in remembered(ids, real, model.config))

        start = model.initial_memories(context.generators(batch, "memory"), model.config.memory.slots_in_training)
        memories, states = unroll(model, ids, present, start, self.config.horizon)
        asked, asked_real = ids.flatten(0, 1)[decoded], real.flatten(0, 1)[decoded]
        supervised = loss_mask.flatten(0, 1)[decoded, 1:]
        output = model.decode(asked, memories.flatten(1, 2)[:, decoded], mask=asked_real, selected=supervised)

        lm = following(model.decoder.head, output, asked, supervised, self.config.head_z_weight)
        of_row = (rows // present.shape[1])[:, None].expand_as(flat)
        naming, named = naming_loss(model, states[flat_real], flat[flat_real], of_row[flat_real], batch, context)
        tasks = Tasks.of(asked, asked_real, model.config.tokens)
        routing, routing_metrics = routing_loss(output.routing, self.config, tasks)
        turn = (decoded % present.shape[1]).repeat_interleave(supervised.sum(1))
        hits = torch.stack((lm.right, torch.ones_like(lm.right)), 1).float()
        # one metric per turn of the phase, even if this rank's conversations are shorter: all ranks need the same names
        by_turn = hits.new_zeros(limit, 2).index_add_(0, turn, hits)
        one = torch.ones(())
        return lm.loss / global_count(lm.count) + naming + routing, {
            **token_metrics(lm),
            **named,
            **routing_metrics,
            **{f"train/accuracy_turn_{number}": pair for number, pair in enumerate(by_turn, 1)},
            **rank_metrics(memories[:, :, -1, :, : model.config.dim], context),
            "memory/rms": metric(memories[:, :, -1, :, : model.config.dim].detach().float().pow(2).mean().sqrt(), one),
            "train/tokens": metric(real.sum(), one),
        }
