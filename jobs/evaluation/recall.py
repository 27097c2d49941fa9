"""Measure what a model remembers: test conversations are played turn by turn, and each speaker keeps its own memory.

In free-running mode (the headline), each speaker's own answers enter its memory or history. In teacher-forced mode (a
diagnostic), the reference answers do. Control arms answer the same questions as the main arm but write nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from jobs.evaluation.rates import HEADLINE, Outcome, Question, majority_answers
from jobs.stage.context import Change, StageError
from rxt_model import generate
from rxt_model.baseline import StatelessDecoder
from rxt_model.model import ReactiveTransformer, TokenModel
from rxt_model.state import remember
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.dialogues.score import chance, score
from tokenization.records import LANGUAGES, Language, Probe
from tokenization.shards.reader import ShardReader

Ids = list[int]


@dataclass(frozen=True)
class EncodedConversation:
    """A conversation as tokens: queries `[BOS] … [Q] …`, reference answers `[A] … [EOS]`, and its probes by turn."""

    id: str
    language: Language
    queries: tuple[Ids, ...]
    answers: tuple[Ids, ...]
    probes: dict[int, Probe]


class Playable(Protocol):
    """What is played of a conversation: its queries, and the turns with a probe. Without teacher forcing, nobody reads
    the reference answers."""

    @property
    def queries(self) -> tuple[Ids, ...]: ...
    @property
    def answers(self) -> tuple[Ids, ...]: ...
    @property
    def probes(self) -> Container[int]: ...


class Speaker(Protocol):
    """Answers a batch of conversations in one language. The answers of `arms[0]`, the main arm, are remembered."""

    arms: tuple[str, ...]

    def begin(self, conversations: Sequence[int]) -> None:
        """Start new conversations; their numbers seed all random draws. `rows` below are indices into them."""

    def answer(self, arm: str, rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers, one per row."""

    def remember(self, rows: Sequence[int], interactions: list[Ids]) -> None:
        """Write finished interactions to memory, one per row."""


class ReactiveSpeaker:
    """RxT. Arm `zeroed` reads a memory of zeros; `shuffled` reads the memory of another conversation in the batch."""

    arms: tuple[str, ...] = ("rxt", "zeroed", "shuffled")

    def __init__(self, model: ReactiveTransformer, seed: int = 0) -> None:
        self.model = model
        self.seed = seed
        self.memory = torch.empty(0)

    def begin(self, conversations: Sequence[int]) -> None:
        """Give each conversation an initial memory of its own."""
        generators = [torch.Generator().manual_seed(self.seed * 1_000_003 + c) for c in conversations]
        self.memory = self.model.initial_memories(generators)

    def read(self, arm: str) -> Tensor:
        """The memory [L, B, S, d] that `arm` answers from."""
        if arm == "zeroed":
            return torch.zeros_like(self.memory)
        if arm == "shuffled":
            return self.memory.roll(1, dims=1)
        return self.memory

    def generate(self, memory: Tensor, queries: list[Ids]) -> list[Ids]:
        """Return greedy answers to the queries from `memory` [L, queries, S, d]."""
        return _answer(self.model, memory, queries, queries)

    def answer(self, arm: str, rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers from the memory that `arm` reads."""
        return self.generate(self.read(arm)[:, rows], queries)

    def remember(self, rows: Sequence[int], interactions: list[Ids]) -> None:
        """Write interactions to the memory of their rows."""
        updated = self.memory.clone()
        updated[:, rows] = remember(self.model, self.memory[:, rows], interactions)
        self.memory = updated


class StatelessSpeaker:
    """The baseline. Arm `full_history` has all earlier interactions in its window; `no_history` has only the query."""

    arms: tuple[str, ...] = ("full_history", "no_history")

    def __init__(self, model: StatelessDecoder) -> None:
        self.model = model
        self.histories: list[Ids] = []

    def begin(self, conversations: Sequence[int]) -> None:
        """Give each conversation an empty history."""
        self.histories = [[] for _ in conversations]

    def answer(self, arm: str, rows: Sequence[int], queries: list[Ids]) -> list[Ids]:
        """Return greedy answers, with or without the history."""
        prompts = [self.histories[r] * (arm == "full_history") + q for r, q in zip(rows, queries, strict=True)]
        return _answer(self.model, None, prompts, queries)

    def remember(self, rows: Sequence[int], interactions: list[Ids]) -> None:
        """Append interactions to the histories of their rows."""
        for row, interaction in zip(rows, interactions, strict=True):
            self.histories[row] = self.histories[row] + interaction


def _answer(model: TokenModel, memory: Tensor | None, prompts: list[Ids], queries: list[Ids]) -> list[Ids]:
    """Return greedy answers. An answer ends where its interaction would exceed the model's length."""
    rooms = [max(1, model.config.length - len(query)) for query in queries]
    return generate.answer(model, memory, prompts, rooms)


def load_conversations(reader: ShardReader, questions: int, seed: int) -> list[EncodedConversation]:
    """Load conversations with probes, the languages in turn, in an order fixed by `seed`.

    Loading ends when `questions` probes lie at the headline's distances, or at the end of the shards. Each language
    gets at least two conversations if the shards have them, since a shuffled memory needs two.
    """
    order: dict[Language, list[EncodedConversation]] = {language: [] for language in LANGUAGES}
    for row in reader.rows(np.random.default_rng(seed).permutation(len(reader))):
        if row["probes"]:
            conversation = _encoded(row)
            order[conversation.language].append(conversation)
    chosen: list[EncodedConversation] = []
    found = 0
    for rank in range(max(map(len, order.values()), default=0)):
        for conversations in order.values():
            if rank < len(conversations) and (found < questions or rank < 2):
                chosen.append(conversations[rank])
                found += sum(p.distance in HEADLINE for p in conversations[rank].probes.values())
    return chosen


def list_questions(conversations: Sequence[EncodedConversation]) -> list[Question]:
    """All probes of the conversations, each with what a guess would score."""
    majority = majority_answers((t.language, p) for t in conversations for p in t.probes.values())
    questions = []
    for number, conversation in enumerate(conversations):
        asked: set[tuple[str, tuple[str, ...]]] = set()
        for turn, probe in sorted(conversation.probes.items()):
            unknown = probe.kind == "unknown"
            questions.append(
                Question(
                    conversation=number,
                    turn=turn,
                    language=conversation.language,
                    probe=probe,
                    first=(probe.slot, probe.gold) not in asked,
                    chance=0.0 if unknown else chance(probe.slot, conversation.language, "test"),
                    majority=unknown or majority[conversation.language, probe.slot] == probe.gold,
                )
            )
            asked.add((probe.slot, probe.gold))
    return questions


def batches(conversations: Sequence[EncodedConversation], batch_size: int) -> list[list[int]]:
    """Conversation numbers in batches of one language. A batch has between `batch_size` and twice as many, if there are
    enough, and at least two, so that a shuffled memory belongs to another conversation.

    Raises StageError if a language has a single conversation.
    """
    result = []
    for language in LANGUAGES:
        numbers = [n for n, conversation in enumerate(conversations) if conversation.language == language]
        if len(numbers) == 1:
            raise StageError(
                f"evaluate: the test split has a single {language!r} conversation with questions; its memory cannot "
                "be shuffled",
                Change("conversations.test", 400),
            )
        parts = max(1, len(numbers) // max(2, batch_size))
        result += [part.tolist() for part in np.array_split(numbers, parts) if len(part)]
    return result


def play(
    speaker: Speaker,
    conversations: Sequence[Playable],
    numbers: Sequence[int],
    *,
    teacher_forced: bool,
    controls: bool,
) -> Iterator[tuple[str, int, int, Ids]]:
    """Play one batch of conversations; yield (arm, conversation, turn, answer ids) for every answer."""
    speaker.begin(numbers)
    for turn in range(max(len(conversations[n].queries) for n in numbers)):
        rows = [r for r, n in enumerate(numbers) if turn < len(conversations[n].queries)]
        asking = [r for r in rows if turn in conversations[numbers[r]].probes]
        own: dict[int, Ids] = {}
        for arm in speaker.arms if controls else speaker.arms[:1]:
            main = arm == speaker.arms[0]
            answering = rows if main and not teacher_forced else asking
            if answering:
                answers = speaker.answer(arm, answering, [conversations[numbers[r]].queries[turn] for r in answering])
                yield from ((arm, numbers[r], turn, a) for r, a in zip(answering, answers, strict=True))
                own |= dict(zip(answering, answers, strict=True)) if main else {}
        kept = [conversations[numbers[r]].answers[turn] if teacher_forced else own[r] for r in rows]
        speaker.remember(rows, [conversations[numbers[r]].queries[turn] + a for r, a in zip(rows, kept, strict=True)])


@torch.inference_mode()
def ask(
    speaker: Speaker,
    tokenizer: Tokenizer,
    conversations: Sequence[EncodedConversation],
    batch_size: int,
    *,
    teacher_forced: bool = False,
    controls: bool = True,
) -> tuple[list[Outcome], dict[tuple[int, int], str]]:
    """Ask every arm all questions of the conversations. Returns the outcomes, and the answers of the main arm by
    (conversation, turn)."""
    questions = {(q.conversation, q.turn): q for q in list_questions(conversations)}
    outcomes, said = [], {}
    for numbers in batches(conversations, batch_size):
        for arm, number, turn, ids in play(
            speaker, conversations, numbers, teacher_forced=teacher_forced, controls=controls
        ):
            text = decode_answer(tokenizer, ids)
            if arm == speaker.arms[0]:
                said[number, turn] = text
            if question := questions.get((number, turn)):
                outcomes.append(Outcome(question, arm, text, score(text, question.probe, question.language)))
    return outcomes, said


def _encoded(row: dict) -> EncodedConversation:
    interactions = row["interactions"]
    probes = [Probe(**p | {"gold": tuple(p["gold"]), "forbidden": tuple(p["forbidden"])}) for p in row["probes"]]
    return EncodedConversation(
        id=row["conversation_id"],
        language=LANGUAGES[interactions[0]["language"]],
        queries=tuple(list(i["input_ids"][: i["answer_start"]]) for i in interactions),
        answers=tuple(list(i["input_ids"][i["answer_start"] :]) for i in interactions),
        probes={p.turn: p for p in probes},
    )
