"""Joint language modelling with a leaked context: stages `pretrain` (text) and `sft` (interactions).

The decoder predicts each token while its memory holds noised, partly masked encoder states of the same text. The
encoder learns masked language modelling (arXiv 2510.03561). Noise and masking rise, so that the task stays hard.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jobs.configs.training import PretrainConfig, SftConfig
from jobs.training.objectives.balance import Tasks, routing_loss
from jobs.training.objectives.base import Objective, StepContext, global_count, metric, token_metrics
from rxt_model.losses import cross_entropy, following
from rxt_model.model import ReactiveTransformer


class JointLM(Objective[ReactiveTransformer]):
    """Trains on input_ids [B, T] and either `documents` [B, T] (packed text, all tokens supervised) or `loss_mask`."""

    def __init__(self, model: ReactiveTransformer, config: PretrainConfig | SftConfig) -> None:
        super().__init__()
        if model.mlm_head is None:
            raise ValueError("mlm_head = None: joint language modelling trains a model with its masked-token head")
        self.model, self.config = model, config

    def schedule(self, context: StepContext) -> tuple[float, float]:
        """Return (noise, masking) at this step. Both are linear over the stage."""
        noise, masking = self.config.loss.noise, self.config.loss.masking
        at = context.fraction
        return noise[0] + at * (noise[1] - noise[0]), masking[0] + at * (masking[1] - masking[0])

    def forward(self, batch: dict[str, Tensor], context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        ids, model, weights = batch["input_ids"], self.model, self.config.loss
        tokens = model.config.tokens
        real = ids != tokens.pad
        documents = batch.get("documents", real.long() - 1)
        noise, masking = self.schedule(context)

        length = ids.shape[1]
        chance = context.draw(torch.rand, batch, "mlm", length)
        hidden_from_encoder = (chance < weights.mlm_probability) & (ids > tokens.highest)
        start = model.initial_memories(context.generators(batch, "memory")) if model.encoder.reads_memory else None
        encoded = model.encode(ids.masked_fill(hidden_from_encoder, tokens.mask), real, documents, start)
        assert model.mlm_head is not None
        mlm = cross_entropy(model.mlm_head, encoded[-1], ids, hidden_from_encoder)

        # no decoder gradient reaches the encoder, or the encoder would learn to pass on tokens instead of meaning
        states = encoded.detach()
        kept = context.draw(torch.rand, batch, "masking", length, 1) >= masking
        drawn = context.draw(torch.randn, batch, "noise", len(states), length, states.shape[3]).transpose(0, 1)
        memory = states * kept + noise * drawn
        supervised = batch.get("loss_mask", real)[:, 1:] & (documents[:, 1:] == documents[:, :-1])
        output = model.decode(
            ids, memory, mask=real, documents=documents, memory_documents=documents, selected=supervised
        )
        lm = following(model.decoder.head, output, ids, supervised, self.config.head_z_weight)

        routing, routing_metrics = routing_loss(output.routing, self.config, Tasks.of(ids, real, tokens))
        loss = (
            weights.decoder_weight * lm.loss / global_count(lm.count)
            + weights.mlm_weight * mlm.loss / global_count(mlm.count)
            + routing
        )
        one = torch.ones(())
        return loss, {
            **token_metrics(lm),
            **token_metrics(mlm, "mlm_"),
            **routing_metrics,
            "train/noise": metric(torch.tensor(noise), one),
            "train/masking": metric(torch.tensor(masking), one),
            "train/tokens": metric(real.sum(), one),
        }
