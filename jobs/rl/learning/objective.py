"""What the learner minimises: the clipped surrogate of the policy with its regularisers, and the loss of the critic."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from jobs.configs.rl import MrlConfig
from jobs.rl.learning import losses, replay
from jobs.rl.policy import Critic, TokenScores, mean_per_answer
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import global_count, metric
from jobs.training.objectives.collapse import ALARM, COLLAPSED, RANK, ROWS
from rxt_model.memory.statistics import rank_share
from rxt_model.model import ReactiveTransformer


class Fixed(NamedTuple):
    """What stays the same while a batch is learned. Per answer, the critic's first `values`, `advantages` and
    `returns`; per token, log-probabilities under the `reference` policy, and from the memory one write `earlier`. None
    where no weight asks for them."""

    values: Tensor
    advantages: Tensor
    returns: Tensor
    reference: Tensor | None
    earlier: Tensor | None


class PolicyObjective(nn.Module):
    """`forward(batch, fixed)` returns this rank's share of the loss and its metrics, as an
    `jobs.training.objectives.base.Objective` does: every mean is over the answers of the global batch."""

    def __init__(self, model: ReactiveTransformer, critic: Critic | None, config: MrlConfig) -> None:
        super().__init__()
        self.model, self.critic, self.config = model, critic, config

    def values(self, batch: replay.ReplayBatch) -> Tensor:
        """What the critic expects of each answer; 0 without a critic."""
        return batch.old.new_zeros(len(batch.answers)) if self.critic is None else self.critic(batch.critic_inputs)

    def earlier(self, batch: replay.ReplayBatch) -> Tensor:
        """Log-probabilities of the answers' tokens, as read from memory before the last write."""
        before = replay.rebuild(self.model, batch, self.config.seed).before
        return replay.score(self.model, before, batch, self.config.temperature).log_probs

    def forward(self, batch: replay.ReplayBatch, fixed: Fixed) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        memories = replay.rebuild(self.model, batch, config.seed)
        scores = replay.score(self.model, memories.read, batch, config.temperature)
        answers = scores.log_probs.new_tensor(float(len(batch.answers)))
        everywhere = global_count(answers)
        metrics: dict[str, Tensor] = {}

        def mean(name: str, values: Tensor) -> Tensor:
            """This rank's share of the mean over all answers; `values` has one number per answer."""
            metrics[f"rl/{name}"] = metric(values.sum(), answers)
            return values.sum() / everywhere

        def mean_of_tokens(name: str, values: Tensor) -> Tensor:
            return mean(name, mean_per_answer(values, scores.row, len(batch.answers)))

        gain, held = losses.surrogate(scores.log_probs, batch.old, fixed.advantages[scores.row], config.clip)
        metrics["rl/clip_fraction"] = metric(held.sum(), torch.tensor(float(len(held))))
        mean_of_tokens("kl", losses.divergence(batch.old, scores.log_probs, batch.old))
        loss = mean_of_tokens("policy_loss", -gain)
        loss = loss - config.entropy * mean_of_tokens("entropy", scores.entropy)
        if fixed.reference is not None:
            away = losses.divergence(scores.log_probs, fixed.reference, batch.old)
            loss = loss + config.kl_reference * mean_of_tokens("kl_reference", away)
        if fixed.earlier is not None:
            loss = loss + config.kl_turns * self._turn_divergence(scores, fixed.earlier, batch, metrics)
        change = replay.memory_change(memories)
        loss = loss + config.memory_drift * mean("memory_drift", batch.turn.sqrt() * change)
        routing, told = routing_loss(scores.routing, config)
        if self.critic is not None:
            loss = loss + mean("value_loss", self._value_losses(self.critic, batch, fixed))

        size = memories.before.pow(2).mean((0, 2, 3))
        mean("stm_change", (change / size.clamp(min=1e-12)).sqrt())
        share, one = rank_share(memories.read[:, :ROWS, :, : self.model.config.dim].detach()), torch.ones(())
        metrics |= {RANK: metric(share, one), ALARM: metric((share < COLLAPSED).float(), one)}
        return loss + routing, metrics | told

    def _value_losses(self, critic: Critic, batch: replay.ReplayBatch, fixed: Fixed) -> Tensor:
        values = critic(batch.critic_inputs)
        if self.config.algorithm == "ppo":
            return losses.clipped_value_loss(values, fixed.values, fixed.returns, self.config.clip)
        return (values - fixed.returns).pow(2)

    @staticmethod
    def _turn_divergence(
        scores: TokenScores, earlier: Tensor, batch: replay.ReplayBatch, metrics: dict[str, Tensor]
    ) -> Tensor:
        """This rank's share of the KL between the policies of consecutive turns. Each answer is scored from memory
        before and after the last write, for turns after at least two writes. The papers name the term but do not define
        it."""
        each = losses.divergence(scores.log_probs, earlier, batch.old)
        later = mean_per_answer(each, scores.row, len(batch.answers)) * (batch.turn > 1)
        count = (batch.turn > 1).sum()
        metrics["rl/kl_turns"] = metric(later.sum(), count)
        return later.sum() / global_count(count)


class ReferencePolicy(nn.Module):
    """The policy before the stage, which nothing trains. It builds its own memory."""

    def __init__(self, model: ReactiveTransformer, config: MrlConfig) -> None:
        super().__init__()
        self.model, self.config = model.requires_grad_(False), config

    @torch.no_grad()
    def forward(self, batch: replay.ReplayBatch) -> Tensor:
        """Log-probabilities of the answers' tokens."""
        own = replay.rebuild(self.model, batch, self.config.seed).read
        return replay.score(self.model, own, batch, self.config.temperature).log_probs
