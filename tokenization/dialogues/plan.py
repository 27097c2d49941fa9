"""Memory dialogues: what is said in which turn, so that the distances between telling and asking are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tokenization.dialogues.phrasebook import Value
from tokenization.dialogues.values import PHRASEBOOKS, SLOT_NAMES, mentioned, split_values, stable_hash
from tokenization.records import Conversation, Interaction, Language, Probe, Split


@dataclass(frozen=True)
class DialogueSpec:
    """`turns` and `facts`: inclusive ranges. `echo`: how often the acknowledgement of a fact repeats its value.
    `update`: how often an asked fact is changed before. `unknown`: share of questions about what was never told.
    `distract`: least share of turns that are small talk (turns that nothing else needs are small talk, too). In short
    conversations fewer facts are told than `facts` says, so that at least one is asked. `again`: share of the small
    talk of the training split that asks once more for a fact told before, or, in a share of `unknown`, for one never
    told; elsewhere each fact is asked once, as an answered question writes the fact into memory again."""

    turns: tuple[int, int] = (4, 8)
    facts: tuple[int, int] = (1, 4)
    echo: float = 0.3
    update: float = 0.15
    unknown: float = 0.08
    distract: float = 0.25
    again: float = 0.0

    def __post_init__(self) -> None:
        for name in ("turns", "facts"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name} must be a range low <= high from 1, not {low}, {high}")


@dataclass(frozen=True)
class Turn:
    """`fact` numbers the facts of a conversation, those never told included; -1 for small talk."""

    kind: Literal["tell", "update", "distract", "ask", "unknown"]
    fact: int = -1


def plan(spec: DialogueSpec, rng: Random) -> list[Turn]:
    """Draws how far each question lies from its fact, places the longest first, and fills up with small talk."""
    length = rng.randint(*spec.turns)
    if length == 1:
        return [Turn("tell", 0)]
    facts, asked, unknown, updated = _counts(spec, length, rng)
    turns = [Turn("distract")] * length
    free = list(range(length))

    def place(position: int, turn: Turn) -> None:
        free.remove(position)
        turns[position] = turn

    changes = rng.sample([True] * updated + [False] * (asked - updated), asked)
    distances = sorted((_distance(length, rng) for _ in range(asked)), reverse=True)
    for fact, (distance, change) in enumerate(zip(distances, changes, strict=True)):
        stated, question = _positions(free, distance, change, rng)
        earlier = [position for position in free if position < stated] if change else []
        place(stated, Turn("update" if earlier else "tell", fact))
        place(question, Turn("ask", fact))
        if earlier:
            place(_early(earlier, rng), Turn("tell", fact))
    for fact in range(asked, facts):
        place(_early(free, rng), Turn("tell", fact))
    for fact in range(facts, facts + unknown):
        place(rng.choice(free), Turn("unknown", fact))
    return turns


def _counts(spec: DialogueSpec, length: int, rng: Random) -> tuple[int, int, int, int]:
    """Facts told, facts asked, questions about nothing told, facts changed before they are asked."""
    room = max(2, length - int(length * spec.distract + rng.random()))
    low, high = spec.facts
    high = max(low, min(high, 2 * room // 3))  # beyond that, most of what is told could not be asked
    facts = min(rng.randint(low, high), room - 1, len(SLOT_NAMES) - 1)
    questions = min(facts, room - facts)
    updated = sum(rng.random() < spec.update for _ in range(questions))
    while updated > length - facts - questions and questions > 1:
        questions -= 1
    unknown = min(sum(rng.random() < spec.unknown for _ in range(questions)), len(SLOT_NAMES) - facts)
    asked = questions - unknown
    return facts, asked, unknown, min(updated, asked, length - facts - questions)


def _distance(length: int, rng: Random) -> int:
    """Half uniform over what fits, half with equal shares per octave, so that near and far are both frequent."""
    if rng.random() < 0.5:
        return rng.randint(1, length - 1)
    return int(length ** rng.random())


def _ask_again(spec: DialogueSpec, turns: list[Turn], rng: Random) -> list[Turn]:
    """The plan with a share `again` of its small talk replaced by questions about facts that were told before, or
    never, in the shares that all questions have."""
    told: list[int] = []
    never = range(1 + max(turn.fact for turn in turns), len(SLOT_NAMES))
    asked: list[Turn] = []
    for turn in turns:
        if turn.kind == "tell":
            told.append(turn.fact)
        if turn.kind != "distract" or not told or rng.random() >= spec.again:
            asked.append(turn)
        elif never and rng.random() < spec.unknown:
            asked.append(Turn("unknown", rng.choice(never)))
        else:
            asked.append(Turn("ask", rng.choice(told)))
    return asked


def _early(positions: list[int], rng: Random) -> int:
    return positions[int(len(positions) * rng.random() ** 2)]


def _positions(free: list[int], distance: int, change: bool, rng: Random) -> tuple[int, int]:
    """Free turns for a statement and its question at the distance asked for, or at the nearest that is possible.
    Before a change a turn must be left for what it changes; where that cannot be, any turn will do."""
    for first in (free[1:], free) if change else (free,):
        for candidate in sorted(range(1, free[-1] - free[0] + 1), key=lambda d: abs(d - distance)):
            starts = [position for position in first if position + candidate in free]
            if starts:
                stated = _early(starts, rng)
                return stated, stated + candidate
    raise AssertionError(f"no two free turns among {free}")


def generate(
    spec: DialogueSpec,
    language: Language,
    split: Split,
    seed: int,
    index: int,
    distractors: Sequence[Interaction] = (),
) -> Conversation:
    """Conversation `index` of a split: a pure function of its arguments. Real `distractors`, if given, take half of
    the small talk, except those that hold a value of some slot."""
    rng = Random(stable_hash(f"dialogue/{language}/{split}/{seed}/{index}"))
    name = f"dialogue-{language}-{split}-{seed}-{index}"
    turns = plan(spec, rng)
    if split == "train":
        turns = _ask_again(spec, turns, rng)
    return _converse(name, turns, spec.echo, language, split, rng, distractors)


def example(language: Language, seed: int, split: Split = "test") -> Conversation:
    """Two or three facts, some small talk, then a question about each fact."""
    rng = Random(stable_hash(f"example/{language}/{split}/{seed}"))
    facts = rng.choice((2, 3))
    tells = [Turn("tell", fact) for fact in range(facts)]
    asks = [Turn("ask", fact) for fact in rng.sample(range(facts), facts)]
    turns = [*tells, Turn("distract"), *asks]
    return _converse(f"example-{language}-{split}-{seed}", turns, 0.0, language, split, rng, ())


def _converse(
    name: str,
    turns: list[Turn],
    echo: float,
    language: Language,
    split: Split,
    rng: Random,
    distractors: Sequence[Interaction],
) -> Conversation:
    """Puts a plan into words and records what is asked."""
    book = PHRASEBOOKS[language]
    slots = rng.sample(book.slots, 1 + max(turn.fact for turn in turns))
    told: dict[int, list[Value]] = {}
    stated: dict[int, int] = {}
    interactions: list[Interaction] = []
    probes: list[Probe] = []
    for number, turn in enumerate(turns):
        if turn.kind == "distract":
            interactions.append(_distractor(language, rng, distractors))
            continue
        slot = slots[turn.fact]
        if turn.kind in ("tell", "update"):
            known = told.setdefault(turn.fact, [])
            table = split_values(language, slot.name, split)
            value = rng.choice([value for value in table if value not in known] if known else table)
            known.append(value)
            stated[turn.fact] = number
            sentence = rng.choice(slot.tells if turn.kind == "tell" else slot.updates).format(value[0])
            answer = book.echo.format(slot.questions[0][1].format(value[0]))
            interactions.append(Interaction(sentence, answer if rng.random() < echo else book.acknowledgement))
            continue
        question, answer = rng.choice(slot.questions)
        current = told.get(turn.fact, ())
        others = [value[0] for fact, values in told.items() if fact != turn.fact for value in values]
        interactions.append(Interaction(question, answer.format(current[-1][0]) if current else book.refusal))
        probes.append(
            Probe(
                turn=number,
                slot=slot.name,
                kind="unknown" if not current else "update" if len(current) > 1 else "recall",
                gold=current[-1] if current else (book.refusal,),
                forbidden=(*(value[0] for value in current[:-1]), *others),
                distance=number - stated[turn.fact] if current else 0,
                facts=len(told),
            )
        )
    return Conversation(name, language, "dialogues", split, tuple(interactions), tuple(probes))


def _distractor(language: Language, rng: Random, real: Sequence[Interaction]) -> Interaction:
    if real and rng.random() < 0.5:
        pick = rng.choice(real)
        if not mentioned(f"{pick.query} {pick.answer}", language):
            return pick
    return PHRASEBOOKS[language].small_talk(rng)
