"""The models that answer, each with the memory or the history of its conversations, and their control arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from jobs.evaluation.conversations import Ids
from rxt_model import generate
from rxt_model.baseline import StatelessDecoder
from rxt_model.decoder import DecoderOutput
from rxt_model.generate import Mode, thinking_limit
from rxt_model.layers.layout import pad_rows
from rxt_model.model import ReactiveTransformer, TokenModel
from rxt_model.state import ConversationState, remember

FORCED: dict[str, Mode] = {"fast": "fast", "thinking": "thinking"}  # the mode of the arms that do not choose it


class Speaker(Protocol):
    """Answers a batch of conversations in one language. The answers of `arms[0]`, the main arm, are remembered."""

    arms: tuple[str, ...]

    def begin(self, conversations: Sequence[int]) -> None:
        """Start new conversations; their numbers seed all random draws. `rows` below are indices into them."""

    def answer(self, arms: Sequence[str], rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return a greedy answer to each query, from what the arm reads in the row. The arm `shuffled` is asked with
        the row whose memory it reads."""

    def remember(self, rows: Sequence[int], interactions: list[Ids], telling: Sequence[bool]) -> None:
        """Write finished interactions to memory, one per row. `telling` says which tell what is asked later."""


class Follower(Speaker, Protocol):
    """A speaker that also says which token it expects at each place of a given answer."""

    def expect(self, rows: Sequence[int], queries: list[Ids], answers: list[Ids]) -> list[Ids]:
        """Return, per row, the likeliest token at each place of the answer, given the answer before it."""


class ReactiveSpeaker:
    """RxT. Its control arms read other memories: `zeroed` one of zeros, `shuffled` that of another conversation, `last`
    one that holds the last interaction alone, and `unplanted` one to which no turn was written that tells what is asked
    later.

    A `hybrid` model has learned to think before some answers. Then all these arms let it choose, and the arms `fast`
    and `thinking`, which read the memory of the main arm, do not."""

    arms: tuple[str, ...] = ("rxt", "zeroed", "shuffled", "last", "unplanted")
    mode: Mode = "free"

    def __init__(self, model: ReactiveTransformer, seed: int = 0, *, hybrid: bool = False) -> None:
        self.model = model
        self.seed = seed
        if hybrid:
            self.arms, self.mode = (*self.arms, *FORCED), "auto"
        self.memory = self.start = self.last = self.unplanted = torch.empty(0)

    def begin(self, conversations: Sequence[int]) -> None:
        """Give each conversation an initial memory of its own."""
        generators = [torch.Generator().manual_seed(self.seed * 1_000_003 + c) for c in conversations]
        self.start = self.model.initial_memories(generators)
        self.memory = self.last = self.unplanted = self.start

    def read(self, arm: str) -> Tensor:
        """The memory [L, B, S, w] that `arm` answers from."""
        if arm == "zeroed":
            return torch.zeros_like(self.memory)
        return {"last": self.last, "unplanted": self.unplanted}.get(arm, self.memory)

    def generate(self, memory: Tensor, queries: list[Ids], mode: Mode | None = None) -> list[Ids]:
        """Return greedy answers to the queries from `memory` [L, queries, S, d]."""
        return _answer(self.model, memory, queries, queries, mode or self.mode)

    def answer(self, arms: Sequence[str], rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers from the memories that the arms read."""
        memories = {arm: self.read(arm) for arm in set(arms)}
        modes = [FORCED.get(arm, self.mode) for arm in arms]
        found: dict[int, Ids] = {}
        for mode in dict.fromkeys(modes):
            places = [place for place, own in enumerate(modes) if own == mode]
            read = torch.stack([memories[arms[place]][:, rows[place]] for place in places], dim=1)
            answers = self.generate(read, [queries[place] for place in places], mode)
            found |= dict(zip(places, answers, strict=True))
        return [found[place] for place in range(len(arms))]

    def expect(self, rows: Sequence[int], queries: list[Ids], answers: list[Ids]) -> list[Ids]:
        """Return the likeliest tokens of the answers, from the memory of the main arm."""
        ids, mask = _padded(self.model, queries, answers)
        output = self.model.decode(ids, self.memory[:, rows], mask=mask)
        return _likeliest(self.model, output, [len(q) for q in queries], answers)

    def remember(self, rows: Sequence[int], interactions: list[Ids], telling: Sequence[bool]) -> None:
        """Write interactions to the memory of their rows."""
        self.memory = self._written(self.memory, self.memory, rows, interactions)
        if "last" in self.arms:
            self.last = self._written(self.last, self.start, rows, interactions)
        other = [i for i, tells in enumerate(telling) if not tells]
        if "unplanted" in self.arms and other:
            kept = [rows[i] for i in other]
            self.unplanted = self._written(self.unplanted, self.unplanted, kept, [interactions[i] for i in other])

    def _written(self, memory: Tensor, before: Tensor, rows: Sequence[int], interactions: list[Ids]) -> Tensor:
        """`memory`, in which these rows become what `before` is after the interactions."""
        updated = memory.clone()
        updated[:, rows] = remember(self.model, before[:, rows], interactions)
        return updated


class FragmentSpeaker:
    """RxT that keeps all interactions (`memory.fragments`). The arm `zeroed` reads a memory of zeros."""

    arms: tuple[str, ...] = ("rxt", "zeroed")

    def __init__(self, model: ReactiveTransformer, seed: int = 0) -> None:
        self.model = model
        self.seed = seed
        self.states: list[ConversationState] = []

    def begin(self, conversations: Sequence[int]) -> None:
        """Give each conversation an initial memory of its own."""
        self.states = [ConversationState.new(self.model, self.seed * 1_000_003 + c) for c in conversations]

    def answer(self, arms: Sequence[str], rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers, each from slots that were loaded for its query."""
        memories = [self.states[r].read(self.model, q) for r, q in zip(rows, queries, strict=True)]
        read = [torch.zeros_like(m) if arm == "zeroed" else m for arm, m in zip(arms, memories, strict=True)]
        return _answer(self.model, torch.cat(read, 1), queries, queries)

    def remember(self, rows: Sequence[int], interactions: list[Ids], telling: Sequence[bool]) -> None:
        """Keep interactions of these rows."""
        for row, interaction in zip(rows, interactions, strict=True):
            self.states[row] = self.states[row].written(self.model, interaction)


class StatelessSpeaker:
    """The baseline. Arm `full_history` reads all earlier interactions, `window` as many of their last tokens as RxT has
    slots, and `no_history` the query alone."""

    arms: tuple[str, ...] = ("full_history", "window", "no_history")

    def __init__(self, model: StatelessDecoder) -> None:
        self.model = model
        self.slots = model.config.memory.slots
        self.histories: list[Ids] = []

    def begin(self, conversations: Sequence[int]) -> None:
        """Give each conversation an empty history."""
        self.histories = [[] for _ in conversations]

    def answer(self, arms: Sequence[str], rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers, each after what its arm reads of the history."""
        read = {"full_history": slice(None), "window": slice(-self.slots, None), "no_history": slice(0)}
        prompts = [self.histories[r][read[arm]] + q for arm, r, q in zip(arms, rows, queries, strict=True)]
        return _answer(self.model, None, prompts, queries)

    def expect(self, rows: Sequence[int], queries: list[Ids], answers: list[Ids]) -> list[Ids]:
        """Return the likeliest tokens of the answers, after the whole history."""
        prompts = [self.histories[r] + q for r, q in zip(rows, queries, strict=True)]
        ids, mask = _padded(self.model, prompts, answers)
        return _likeliest(self.model, self.model.decode(ids, mask=mask), [len(p) for p in prompts], answers)

    def remember(self, rows: Sequence[int], interactions: list[Ids], telling: Sequence[bool]) -> None:
        """Append interactions to the histories of their rows."""
        for row, interaction in zip(rows, interactions, strict=True):
            self.histories[row] = self.histories[row] + interaction


def _answer(
    model: TokenModel, memory: Tensor | None, prompts: list[Ids], queries: list[Ids], mode: Mode = "free"
) -> list[Ids]:
    """Return greedy answers. An answer ends where its interaction would exceed the model's length, and thinking before
    that."""
    rooms = [max(1, model.config.length - len(query)) for query in queries]
    return generate.answer(model, memory, prompts, rooms, mode=mode, thoughts=list(map(thinking_limit, rooms)))


def _padded(model: TokenModel, prompts: list[Ids], answers: list[Ids]) -> tuple[Tensor, Tensor]:
    """Return ids and mask of the prompts, each with its answer, where the model is."""
    ids, mask = pad_rows([p + a for p, a in zip(prompts, answers, strict=True)], model.config.tokens.pad)
    device = model.embedding.weight.device
    return ids.to(device), mask.to(device)


def _likeliest(model: TokenModel, output: DecoderOutput, starts: list[int], answers: list[Ids]) -> list[Ids]:
    """Return the likeliest token at each place of the answers, which begin at `starts`."""
    rows = torch.tensor([row for row, answer in enumerate(answers) for _ in answer])
    places = torch.tensor([s + k - 1 for s, answer in zip(starts, answers, strict=True) for k in range(len(answer))])
    likeliest = model.logits(output.at(rows, places)).argmax(-1)
    return [part.tolist() for part in likeliest.split([len(answer) for answer in answers])]
