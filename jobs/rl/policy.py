"""Compute initial memory and log-probabilities of answers alike in rollout workers and learner; and the critic.

The episodes of a batch are sorted, longest first. So those that still run at a turn are the first rows, and memory
[L, B, S, w] shrinks with them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jobs.rl.episodes import Episode
from jobs.rl.rewards import PaddedIds
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.layer import Routing
from tokenization.hashing import stable_seed


class TokenScores(NamedTuple):
    """For every sampled token, flat [N], row by row: its log-probability, the entropy of its distribution in nats, and
    its row in the batch. `routing` is the load of the mixture-of-experts layers."""

    log_probs: Tensor
    entropy: Tensor
    row: Tensor
    routing: list[Routing]


def initial_memory(model: ReactiveTransformer, episodes: Sequence[Episode], seed: int) -> Tensor:
    """The initial memory of each episode [L, B, S, w], which depends on seed and conversation alone. So the learner
    starts where the rollout did, and answers that are compared with each other come from the same memory."""
    device = model.embedding.weight.device
    seeds = [stable_seed(seed, "memory", episode.group) for episode in episodes]
    return model.initial_memories([torch.Generator(device).manual_seed(seed) for seed in seeds])


def score_answers(
    model: ReactiveTransformer,
    memory: Tensor,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    temperature: float,
) -> TokenScores:
    """Scores of the answers' tokens under the policy that samples them, whose logits are divided by `temperature`."""
    rows = PaddedIds.pad([(*p, *a) for p, a in zip(prompts, answers, strict=True)], memory.device)
    starts = torch.tensor([len(p) for p in prompts], device=memory.device)[:, None]
    positions = torch.arange(rows.ids.shape[1], device=memory.device)
    row, column = ((positions >= starts) & rows.mask).nonzero(as_tuple=True)
    output = model.decode(rows.ids, memory, mask=rows.mask)
    log_p = (model.logits(output.at(row, column - 1)).float() / temperature).log_softmax(-1)
    chosen = log_p.gather(1, rows.ids[row, column, None]).squeeze(1)
    return TokenScores(chosen, -(log_p.exp() * log_p).sum(-1), row, output.routing)


def mean_per_answer(values: Tensor, row: Tensor, answers: int) -> Tensor:
    """The mean of each answer's flat token values [N], as [answers]; 0 for an answer without tokens."""
    total = values.new_zeros(answers).index_add(0, row, values)
    return total / torch.bincount(row, minlength=answers).clamp(min=1)


class Critic(nn.Module):
    """Expects a reward, from the previous interaction and the next query alone.

    It has a copy of the policy's encoder and embedding, and a value head on the mean of the last layer. The head starts
    at zero, so that the first advantages are the rewards themselves.
    """

    def __init__(self, model: ReactiveTransformer) -> None:
        super().__init__()
        self.body = copy.deepcopy(model)
        del self.body.decoder, self.body.memory_attention, self.body.mlm_head
        self.value = nn.Linear(model.config.slot_dim, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, rows: PaddedIds) -> Tensor:
        """The expected reward [B] of each row, as a share of the largest possible one. A row has up to twice as many
        tokens as an interaction."""
        mask = rows.mask
        shape = (self.body.config.stateful_layers, len(mask), 1, self.body.config.slot_dim)
        nothing = torch.zeros(shape, device=mask.device)  # for an encoder that reads memory: a critic has none
        encoded = self.body.encode(rows.ids, mask, memory=nothing)[-1]
        mean = (encoded * mask[..., None]).sum(1) / rows.lengths.clamp(min=1)[:, None]
        return self.value(mean).squeeze(-1)
