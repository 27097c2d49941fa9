"""What rollout workers and learner must compute alike, initial memory and log-probabilities of answers; and the critic
that a policy is compared with.

Episodes of a batch stand longest first, so that at every turn the running ones are the first rows, and memory
[L, B, S, d] shrinks with them.
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
    """Of every sampled token, flat [N], row by row: its log-probability, the entropy of its distribution (nats), and
    which row of the batch it belongs to. `routing` is the load of the mixture-of-experts layers."""

    log_probs: Tensor
    entropy: Tensor
    row: Tensor
    routing: list[Routing]


def initial_memory(model: ReactiveTransformer, episodes: Sequence[Episode], seed: int) -> Tensor:
    """STM_0 of each episode, which depends on seed and conversation alone: the learner starts where the rollout did,
    and answers that are judged against each other come from the same memory."""
    device = model.embedding.weight.device
    rows = [
        model.initial_memory(1, torch.Generator(device).manual_seed(stable_seed(seed, "memory", episode.group)))
        for episode in episodes
    ]
    return torch.cat(rows, 1)


def score_answers(
    model: ReactiveTransformer,
    memory: Tensor,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    temperature: float,
) -> TokenScores:
    """Scores of the answers' tokens under the policy that they are sampled from (logits divided by temperature)."""
    rows = PaddedIds.pad([(*p, *a) for p, a in zip(prompts, answers, strict=True)], memory.device)
    starts = torch.tensor([len(p) for p in prompts], device=memory.device)[:, None]
    positions = torch.arange(rows.ids.shape[1], device=memory.device)
    row, column = ((positions >= starts) & rows.mask).nonzero(as_tuple=True)
    output = model.decode(rows.ids, memory, mask=rows.mask)
    log_p = (model.logits(output.hidden[row, column - 1]).float() / temperature).log_softmax(-1)
    chosen = log_p.gather(1, rows.ids[row, column, None]).squeeze(1)
    return TokenScores(chosen, -(log_p.exp() * log_p).sum(-1), row, output.routing)


def mean_per_answer(values: Tensor, row: Tensor, answers: int) -> Tensor:
    """Mean [answers] of flat token values [N]; 0 for an answer without tokens."""
    total = values.new_zeros(answers).index_add(0, row, values)
    return total / torch.bincount(row, minlength=answers).clamp(min=1)


class Critic(nn.Module):
    """What reward to expect, from the previous interaction and the next query alone.

    A copy of the policy's encoder and embedding, with a value head on the mean of the last layer. The head starts at
    zero, so that the first advantages are the rewards themselves.
    """

    def __init__(self, model: ReactiveTransformer) -> None:
        super().__init__()
        self.body = copy.deepcopy(model)
        del self.body.decoder, self.body.memory_attention, self.body.mlm_head
        self.value = nn.Linear(model.config.dim, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, rows: PaddedIds) -> Tensor:
        """Expected reward [B], as a share of the largest, of rows of tokens (up to twice an interaction's length)."""
        mask = rows.mask
        encoded = self.body.encode(rows.ids, mask)[-1]
        mean = (encoded * mask[..., None]).sum(1) / rows.lengths.clamp(min=1)[:, None]
        return self.value(mean).squeeze(-1)
