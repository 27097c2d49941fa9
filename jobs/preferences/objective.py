"""Direct memory and preference optimisation (DMPO): prefer the accepted answer, as read from memory.

    D      = log p(accepted | query, STM_{t-1}) - log p(rejected | query, STM_{t-1})
    L_t    = -(1 - s) log sigmoid(beta (D - D_ref)) - s log sigmoid(-beta (D - D_ref))
    STM_t  = write(STM_{t-1}, encode(query + accepted answer))

Both answers are scored with the memory before the turn; the accepted one is written afterwards. The reference is a
frozen copy of the decoder before the stage. It reads the same memory as the policy, without a gradient.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.configs.preferences import DmpoConfig
from jobs.preferences.batches import REJECTED, REJECTED_MASK
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric
from jobs.training.objectives.collapse import rank_metrics
from jobs.training.objectives.unroll import unroll
from rxt_model.decoder import DecoderOutput
from rxt_model.layers.parts import wide
from rxt_model.model import ReactiveTransformer


class Dmpo(Objective[ReactiveTransformer]):
    """Trains on conversations: input_ids and loss_mask [B, N, T] with the accepted answers, turn_mask [B, N], and
    rejected and rejected_mask [B, N, T] with the others, empty in turns without a choice."""

    def __init__(self, model: ReactiveTransformer, config: DmpoConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        # in a list, so that it is no part of checkpoints and has no moments; it comes from the upstream model again
        self._reference = [copy.deepcopy(model).eval().requires_grad_(False)]

    @property
    def reference(self) -> ReactiveTransformer:
        """The model before the stage, on the device of the policy."""
        return self._reference[0].to(self.model.embedding.weight.device)

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        model, config = self.model, self.config
        ids, present, rejected = batch["input_ids"], batch["turn_mask"], batch[REJECTED]
        start = model.initial_memories(context.generators(batch, "memory"))
        unrolled = unroll(model, ids, present, start, config.horizon).memories
        memories = unrolled.flatten(1, 2)
        turns = (present & batch[REJECTED_MASK].any(-1)).flatten().nonzero().squeeze(1)
        # accepted and rejected answers of a turn are neighbouring rows, which share the turn's memory
        both = torch.stack((ids, rejected), 2).flatten(0, 1)[turns].flatten(0, 1)
        said = torch.stack((batch["loss_mask"], batch[REJECTED_MASK]), 2).flatten(0, 1)[turns].flatten(0, 1)
        real, memory = both != model.config.tokens.pad, memories[:, turns]

        output = model.decode(both, memory, mask=real)
        policy = _answers(model, output, both, said)
        with torch.no_grad():
            held = memory.detach()
            reference = _answers(self.reference, self.reference.decode(both, held, mask=real), both, said)
        lengths = said.sum(1).unflatten(0, (-1, 2))
        scale = 1 / lengths.clamp(min=1) if config.log_probability == "mean" else torch.ones_like(lengths)
        gains = (policy - reference) * scale  # [turns, 2]
        margin = config.beta * (gains[:, 0] - gains[:, 1])
        smooth = config.label_smoothing
        lost = -((1 - smooth) * F.logsigmoid(margin) + smooth * F.logsigmoid(-margin)).sum()

        routing, metrics = routing_loss(output.routing, config)
        count, one = torch.tensor(float(len(turns)), device=ids.device), torch.ones(())
        preferred = (policy[:, 0] * scale[:, 0] > policy[:, 1] * scale[:, 1]).sum()
        return lost / global_count(count) + routing, {
            "train/loss": metric(lost, count),
            "train/accuracy": metric((margin > 0).sum(), count),
            "train/preferred_accuracy": metric(preferred, count),
            "train/margin": metric(margin.sum(), count),
            "train/accepted_loss": metric(-policy[:, 0].sum(), lengths[:, 0].sum()),
            "train/rejected_loss": metric(-policy[:, 1].sum(), lengths[:, 1].sum()),
            **metrics,
            **rank_metrics(unrolled[:, :, -1, :, : model.config.dim], context),
            "train/tokens": metric((ids != model.config.tokens.pad).sum(), one),
        }


def _answers(model: ReactiveTransformer, output: DecoderOutput, ids: Tensor, said: Tensor) -> Tensor:
    """Return the log-probabilities [turns, 2] of the answers at `said` [2 turns, T], each summed over its tokens."""
    row, column = said[:, 1:].nonzero(as_tuple=True)
    log_p = wide(model.logits(output.at(row, column))).log_softmax(-1)
    chosen = log_p.gather(1, ids[row, column + 1, None]).squeeze(1)
    return chosen.new_zeros(len(ids)).index_add(0, row, chosen).unflatten(0, (-1, 2))
