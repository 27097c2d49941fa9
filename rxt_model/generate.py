"""Generate answers for a batch of conversations: a cached pass over the query, then one token at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rxt_model.check import check_each, check_ids, check_memory, check_room, check_rows
from rxt_model.config import ControlTokens
from rxt_model.copying.head import CopySource
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import pad_rows
from rxt_model.model import ReactiveTransformer, TokenModel

# What the first token of an answer may be. free: any; fast: [A], the answer at once; thinking: [T], thinking before the
# answer; auto: the likelier of [A] and [T].
Mode = Literal["free", "fast", "thinking", "auto"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 takes the likeliest. Top-k, top-p (which keeps the crossing token) and
    min-p narrow the choice in this order, each from what the one before has left. Raises ValueError for values outside
    their range."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        for name, low, high, rule in (
            ("temperature", 0, float("inf"), "must not be negative"),
            ("top_k", 1, float("inf"), "must be at least 1"),
            ("top_p", 1e-9, 1, "must be above 0 and at most 1"),
            ("min_p", 0, 1, "must be 0 to 1"),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} = {value}: {rule}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the distribution [B, V] to draw from, given logits [B, V]."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
        p = (logits.float() / self.temperature).softmax(-1)
        if self.top_k is not None:
            kept = p.topk(min(self.top_k, p.shape[-1]), -1)
            p = torch.zeros_like(p).scatter_(-1, kept.indices, kept.values)
            p = p / p.sum(-1, keepdim=True)
        if self.top_p is not None:
            ordered, index = p.sort(-1, descending=True)
            before = ordered.cumsum(-1) - ordered
            p = p.where(torch.zeros_like(p, dtype=torch.bool).scatter(-1, index, before < self.top_p), 0)
        if self.min_p is not None:
            p = p.where(p >= self.min_p * p.amax(-1, keepdim=True), 0)
        return p / p.sum(-1, keepdim=True)

    def draw(self, logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw one id per row of logits [B, V]: [B]. Each row has a generator on the CPU, so all devices draw alike."""
        if self.temperature == 0:
            return logits.argmax(-1)
        p = self.probabilities(logits).cpu()
        drawn = [torch.multinomial(row, 1, generator=g) for row, g in zip(p, generators, strict=True)]
        return torch.cat(drawn).to(logits.device)


GREEDY = Sampling()
THINKING_SHARE = 2 / 3  # of the tokens that an answer may have: what is left must do for the answer itself
CIRCLE, PERIOD = 24, 16  # tokens: the shortest end of an answer that only repeats itself, and its longest period


class Decoding:
    """The generation of one answer in each conversation. `logits` [B, V] predict each row's next token.

    `memory` [L, B, S, w] is projected once and does not change. A stateless model has None; its `queries` carry the
    history that it may see. Row b takes at most `max_tokens[b]` tokens beside its query.
    """

    def __init__(
        self, model: TokenModel, memory: Tensor | None, queries: Sequence[Sequence[int]], max_tokens: Sequence[int]
    ) -> None:
        """Read the queries. Raises ValueError for a memory of another shape, for a reactive model without memory or a
        stateless model with one, for ids beyond the vocabulary, for a query that is only padding, and for an
        interaction longer than the model's `length` (stateless: any length)."""
        config = model.config
        check_rows("queries", queries, config)
        if isinstance(model, ReactiveTransformer):
            check_memory(memory, config, len(queries), config.memory.slots)
        elif memory is not None:
            raise ValueError(f"memory.shape = {tuple(memory.shape)}: must be None for a stateless model")
        check_room(queries, max_tokens, None if memory is None else config.length)
        ids, mask = pad_rows(queries, config.tokens.pad)
        check_ids(ids, config.vocab_size)
        device, ragged = model.embedding.weight.device, not mask.all()
        limit = ids.shape[1] + max(max_tokens)
        self.model = model
        self.memory = [] if memory is None else model.decoder.read_projections(memory)
        self.cache = KeyValueCache(len(queries), limit, device)
        source = model.source(memory) if isinstance(model, ReactiveTransformer) and memory is not None else None
        self.source = None if source is None else source.trimmed()
        self.drives = [] if memory is None else model.decoder.drives(memory)
        read = mask.to(device) if ragged else None
        output = model.extend(ids.to(device), self.cache, self.memory, read, self.source, self.drives)
        self.logits = model.logits(output.at(torch.arange(len(queries), device=device), self.cache.lengths - 1))

    def opening(self, mode: Literal["fast", "thinking", "auto"]) -> Tensor:
        """Return the first id of each row's answer in this mode, [B]. Raises ValueError for another mode."""
        if mode not in ("fast", "thinking", "auto"):
            raise ValueError(f"mode = {mode!r}: must be free, fast, thinking or auto")
        tokens = self.model.config.tokens
        likelier = self.logits[:, tokens.think] > self.logits[:, tokens.answer]
        thinks = {"fast": torch.zeros_like(likelier), "thinking": torch.ones_like(likelier), "auto": likelier}[mode]
        return torch.where(thinks, tokens.think, tokens.answer)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order: what has ended costs no more time."""
        self.logits = self.logits[rows]
        self.cache.keep(rows)
        self.memory = [(keys[rows], values[rows]) for keys, values in self.memory]
        self.drives = [drive.at(rows) for drive in self.drives]
        self.source = None if self.source is None else CopySource(*(part[rows] for part in self.source))

    def step(self, ids: Tensor) -> None:
        """Append one id per row, [B], and predict the next."""
        output = self.model.extend(ids[:, None], self.cache, self.memory, source=self.source, drives=self.drives)
        self.logits = self.model.logits(output.at(slice(None), 0))


@torch.no_grad()
def answer(
    model: TokenModel,
    memory: Tensor | None,
    queries: Sequence[Sequence[int]],
    max_tokens: Sequence[int],
    sampling: Sampling = GREEDY,
    seeds: Sequence[int] | None = None,
    mode: Mode = "free",
    stop: Collection[int] = (),
    thoughts: Sequence[int] | None = None,
) -> list[list[int]]:
    """Return the generated ids of each row, with the [EOS] or other `stop` token that ended them. A row that ends in
    none of these reached its own `max_tokens`, or is greedy and goes in circles (`in_circles`).

    `thoughts` bounds the thinking of each row to so many tokens: then, or when greedy thoughts go in circles or would
    end without an answer, [A] follows. None sets no bound but `max_tokens`. Each row has its own limits and seed, so it
    gets the same answer alone and in a batch. Raises ValueError as `Decoding` does.
    """
    seeds = range(len(queries)) if seeds is None else seeds
    check_each("seeds", seeds, queries)
    if thoughts is not None:
        check_each("thoughts", thoughts, queries)
    decoding = Decoding(model, memory, queries, max_tokens)
    tokens = model.config.tokens
    ends = {tokens.eos, *stop}
    bounds = [None] * len(queries) if thoughts is None else list(thoughts)
    rows: list[list[int]] = [[] for _ in queries]
    running = list(range(len(queries)))  # the row of each place in the decoding
    generators = _generators(seeds)
    ids = _first(decoding, sampling, generators, mode)
    while True:
        for row, token in zip(running, ids.tolist(), strict=True):
            rows[row].append(token)
        kept = [
            i
            for i, row in enumerate(running)
            if len(rows[row]) < max_tokens[row] and not _ended(rows[row], ends, sampling, bounds[row], tokens)
        ]
        if not kept:
            return rows
        if len(kept) < len(running):
            ids = ids[kept]
            decoding.keep(kept)
            running, generators = [running[i] for i in kept], [generators[i] for i in kept]
        decoding.step(ids)
        ids = _following(decoding, sampling, generators, [(rows[row], bounds[row]) for row in running])


@torch.no_grad()
def stream(
    model: ReactiveTransformer,
    memory: Tensor,
    query: Sequence[int],
    max_tokens: int,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    mode: Mode = "free",
    stop: Collection[int] = (),
    thoughts: int | None = None,
) -> Iterator[int]:
    """Yield the ids of `answer` for one conversation, memory [L, 1, S, d], as they are made.

    The call itself reads the query, and raises ValueError as `Decoding` does.
    """
    ends = {model.config.tokens.eos, *stop}
    decoding = Decoding(model, memory, [query], [max_tokens])
    generators = _generators([seed])
    first = _first(decoding, sampling, generators, mode)
    return _one_row(decoding, sampling, generators, first, ends, max_tokens, thoughts)


def is_thinking(ids: Sequence[int], tokens: ControlTokens) -> bool:
    """Say whether an answer began with [T] and has come neither to its [A] nor to a call."""
    return ids[:1] == [tokens.think] and tokens.answer not in ids and tokens.tool_call not in ids


def thinking_limit(max_tokens: int) -> int:
    """Return the most tokens of thinking in an answer of at most `max_tokens`."""
    return int(THINKING_SHARE * max_tokens)


def in_circles(ids: Sequence[int]) -> bool:
    """Say whether the last tokens repeat a run of at most `PERIOD` tokens three times or more, `CIRCLE` tokens in all.
    Greedy decoding hardly ever leaves such a circle."""
    sizes = ((period, max(CIRCLE, 3 * period)) for period in range(1, PERIOD + 1))
    return any(len(ids) >= size and ids[-size + period :] == ids[-size:-period] for period, size in sizes)


def _ended(
    ids: Sequence[int], ends: Collection[int], sampling: Sampling, thoughts: int | None, tokens: ControlTokens
) -> bool:
    if ids[-1] in ends:
        return True
    bounded = thoughts is not None and is_thinking(ids, tokens)  # then [A] breaks the circle
    return sampling.temperature == 0 and not bounded and in_circles(ids)


def _following(
    decoding: Decoding,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    said: Sequence[tuple[Sequence[int], int | None]],
) -> Tensor:
    """Draw the next id of each row, [B], given what it `said` and the bound on its thoughts. [A] takes its place where
    thinking has to end."""
    tokens, ids = decoding.model.config.tokens, sampling.draw(decoding.logits, generators)
    for place, (row, most) in enumerate(said):
        if most is not None and is_thinking(row, tokens):
            circles = sampling.temperature == 0 and in_circles(row)
            if len(row) > most or circles or int(ids[place]) == tokens.eos:
                ids[place] = tokens.answer
    return ids


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def _first(decoding: Decoding, sampling: Sampling, generators: Sequence[torch.Generator], mode: Mode) -> Tensor:
    return sampling.draw(decoding.logits, generators) if mode == "free" else decoding.opening(mode)


@torch.no_grad()
def _one_row(
    decoding: Decoding,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    ids: Tensor,
    ends: Collection[int],
    most: int,
    thoughts: int | None,
) -> Iterator[int]:
    """Yield the first id of the only row, then those that follow up to the one that ends it, at most `most` of them."""
    said: list[int] = []
    while True:
        said += ids.tolist()
        yield said[-1]
        if len(said) == most or _ended(said, ends, sampling, thoughts, decoding.model.config.tokens):
            return
        decoding.step(ids)
        ids = _following(decoding, sampling, generators, [(said, thoughts)])
