"""Answering: a cached pass over the query, then one token at a time, for a batch of conversations at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rxt_model.cache import KeyValueCache
from rxt_model.model import ReactiveTransformer, TokenModel


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy. Top-k, top-p (the crossing token is kept) and min-p narrow the choice, in this order."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """logits [B, V] -> the distribution that is drawn from, [B, V]."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
        p = (logits.float() / self.temperature).softmax(-1)
        if self.top_k is not None:
            threshold = p.topk(min(self.top_k, p.shape[-1]), -1).values[:, -1:]
            p = p.where(p >= threshold, 0)
        if self.top_p is not None:
            ordered, index = p.sort(-1, descending=True)
            before = ordered.cumsum(-1) - ordered
            p = p.where(torch.zeros_like(p, dtype=torch.bool).scatter(-1, index, before < self.top_p), 0)
        if self.min_p is not None:
            p = p.where(p >= self.min_p * p.amax(-1, keepdim=True), 0)
        return p / p.sum(-1, keepdim=True)


GREEDY = Sampling()


class Turn:
    """One interaction of each conversation being answered. `logits` [B, V] predict each row's next token.

    `memory` [L, B, S, d] is projected once and stays as it is; None for a stateless model, whose `queries` then
    carry whatever history it may see.
    """

    def __init__(
        self, model: TokenModel, memory: Tensor | None, queries: Sequence[Sequence[int]], max_tokens: int
    ) -> None:
        if any(len(query) == 0 for query in queries):
            raise ValueError("a query has no tokens; it needs at least the control tokens of its template")
        device = model.embedding.weight.device
        lengths = torch.tensor([len(query) for query in queries], device=device)
        longest = int(lengths.max())
        ids = torch.full((len(queries), longest), model.config.tokens.pad, device=device)
        for row, query in enumerate(queries):
            ids[row, : len(query)] = torch.tensor(query, device=device)
        self.model = model
        self.memory = [] if memory is None else model.decoder.read_projections(memory)
        self.cache = KeyValueCache(len(queries), longest + max_tokens, device)
        hidden = model.extend(ids, lengths, self.cache, self.memory)
        self.logits = model.logits(hidden[torch.arange(len(queries), device=device), lengths - 1])

    def step(self, ids: Tensor) -> None:
        """Append one id per row, [B]."""
        hidden = self.model.extend(ids[:, None], torch.ones_like(ids), self.cache, self.memory)
        self.logits = self.model.logits(hidden[:, 0])


@torch.no_grad()
def answer(
    model: TokenModel,
    memory: Tensor | None,
    queries: Sequence[Sequence[int]],
    max_tokens: Sequence[int],
    sampling: Sampling = GREEDY,
    seeds: Sequence[int] | None = None,
    first: int | None = None,
) -> list[list[int]]:
    """Generated ids per row, with the [EOS] that ended them; rows that reach their own `max_tokens` have none.

    `first` forces the first token: the answer or the thinking token. Each row has its own limit and draws from its own
    seed, so that a row is answered alike alone and in a batch.
    """
    turn = Turn(model, memory, queries, max(max_tokens))
    generators = _generators(len(queries), seeds)
    rows: list[list[int]] = [[] for _ in queries]
    open_rows = set(range(len(queries)))
    while True:
        ids = _choose(turn.logits, sampling, generators)
        if first is not None and not any(rows):
            ids = torch.full_like(ids, first)
        for row in sorted(open_rows):
            rows[row].append(int(ids[row]))
            if rows[row][-1] == model.config.tokens.eos or len(rows[row]) >= max_tokens[row]:
                open_rows.discard(row)
        if not open_rows:
            return rows
        turn.step(ids)


@torch.no_grad()
def stream(
    model: ReactiveTransformer,
    memory: Tensor,
    query: Sequence[int],
    max_tokens: int,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    first: int | None = None,
) -> Iterator[int]:
    """Ids of one answer as they are made, [EOS] included if it is reached; memory [L, 1, S, d]."""
    turn = Turn(model, memory, [query], max_tokens)
    generators = _generators(1, [seed])
    for position in range(max_tokens):
        ids = _choose(turn.logits, sampling, generators)
        if position == 0 and first is not None:
            ids = torch.full_like(ids, first)
        yield int(ids[0])
        if int(ids[0]) == model.config.tokens.eos or position + 1 == max_tokens:
            return
        turn.step(ids)


def _generators(rows: int, seeds: Sequence[int] | None) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (seeds if seeds is not None else range(rows))]


def _choose(logits: Tensor, sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    p = sampling.probabilities(logits)
    drawn = [torch.multinomial(row.cpu(), 1, generator=g) for row, g in zip(p, generators, strict=True)]
    return torch.cat(drawn).to(p.device)
