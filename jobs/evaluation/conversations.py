"""Load the conversations of a test split, and list the questions about memory that they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jobs.evaluation.rates import HEADLINE, Question, majority_answers
from jobs.stage.context import Change, StageError
from tokenization.dialogues.score import chance
from tokenization.records import LANGUAGES, Generator, Language, Probe
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

    @cached_property
    def tells(self) -> frozenset[int]:
        """The turns that tell what is asked later. Of a fact that changes, the last statement alone."""
        return frozenset(told_at(probe) for probe in self.probes.values() if probe.kind != "unknown")

    def held(self, turn: int) -> dict[str, Probe]:
        """The probe of each kind of fact that was told before a turn of a conversation of templates. Slots of the broad
        generator are kinds of values, not facts, so they do not count."""
        known = (probe for probe in self.probes.values() if probe.kind != "unknown" and probe.generator == "templates")
        return {probe.slot: probe for probe in known if told_at(probe) < turn}


def told_at(probe: Probe) -> int:
    """The turn in which the fact that a probe asks for was told last."""
    return probe.turn - probe.distance


def load_conversations(reader: ShardReader, questions: int, seed: int) -> list[EncodedConversation]:
    """Load conversations with probes, languages and generators in turn, in an order fixed by `seed`.

    Loading ends when `questions` probes of each generator lie at the headline's distances, or at the end of the shards.
    Each language gets at least two conversations of each generator if the shards have them, since the memory of another
    conversation needs two.
    """
    order: dict[tuple[Generator, Language], list[EncodedConversation]] = {}
    for row in reader.rows(np.random.default_rng(seed).permutation(len(reader))):
        if row["probes"]:
            conversation = encoded(row)
            generator = next(iter(conversation.probes.values())).generator
            order.setdefault((generator, conversation.language), []).append(conversation)
    chosen: list[EncodedConversation] = []
    found: dict[Generator, int] = dict.fromkeys((generator for generator, _ in order), 0)
    for rank in range(max(map(len, order.values()), default=0)):
        for (generator, _), conversations in sorted(order.items()):
            if rank < len(conversations) and (found[generator] < questions or rank < 2):
                chosen.append(conversations[rank])
                found[generator] += sum(p.distance in HEADLINE for p in conversations[rank].probes.values())
    return chosen


def encoded(row: dict) -> EncodedConversation:
    """A row of conversation shards."""
    interactions = row["interactions"]
    probes = [Probe(**p | {"gold": tuple(p["gold"]), "forbidden": tuple(p["forbidden"])}) for p in row["probes"]]
    return EncodedConversation(
        id=row["conversation_id"],
        language=LANGUAGES[interactions[0]["language"]],
        queries=tuple(list(i["input_ids"][: i["answer_start"]]) for i in interactions),
        answers=tuple(list(i["input_ids"][i["answer_start"] :]) for i in interactions),
        probes={p.turn: p for p in probes},
    )


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
