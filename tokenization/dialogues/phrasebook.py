"""What a language brings to the generator: slots with their values and sentences, fixed replies, small talk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tokenization.records import Interaction, Language

Value = tuple[str, ...]
"""The surface forms of one value: first the one that stands in every sentence, then the others that are accepted."""


@dataclass(frozen=True)
class Slot:
    """One kind of fact. Sentences hold `{}` where the value goes; each question comes with its answer. `others` tell
    the same of somebody else; the `unseen` ones never occur in training."""

    name: str
    values: tuple[Value, ...]
    tells: tuple[str, ...]
    updates: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]
    others: tuple[str, ...] = ()
    unseen_tells: tuple[str, ...] = ()
    unseen_questions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Role:
    """What somebody is to the user: told of a person, said back, and asked for through where that person lives."""

    tell: str
    echo: str
    question: str
    answer: str


@dataclass(frozen=True)
class Acquaintances:
    """Facts about two entities: which person has a role, and where a person lives (`residence.tells` take person and
    place). Where the one with the role lives can be said by who knows both."""

    people: tuple[Value, ...]
    roles: tuple[Role, ...]
    residence: Slot


@dataclass(frozen=True)
class Phrasebook:
    """One language. `small_talk` draws an interaction that has nothing to do with any slot; the slot `held_out` never
    occurs in training."""

    language: Language
    slots: tuple[Slot, ...]
    acknowledgement: str
    echo: str
    refusal: str
    small_talk: Callable[[Random], Interaction]
    held_out: Slot
    acquaintances: Acquaintances


def pairs(first: str, second: str, pattern: str = "{} {}") -> tuple[Value, ...]:
    """All combinations of two word lists (words separated by blanks), as values of one form each."""
    return tuple((pattern.format(a, b),) for a in first.split() for b in second.split())


CODES: tuple[Value, ...] = tuple((str(code),) for code in range(1000, 10_000))
HOURS: tuple[str, ...] = tuple(f"{hour}:{minute}" for hour in range(8, 20) for minute in ("00", "15", "30", "45"))
DAYS_OF_MONTH = " ".join(map(str, range(1, 29)))
HOUSE_NUMBERS = " ".join(map(str, range(10, 50)))
