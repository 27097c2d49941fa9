"""The parts of a language that the generator needs in addition to values: sentences, fixed replies, small talk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tokenization.records import Interaction, Language


@dataclass(frozen=True)
class Slot:
    """One kind of fact. Sentences have `{}` in place of the value, and each question comes with its answer. `others`
    are sentences that tell the same kind of fact about somebody else. `unseen` sentences never occur in training."""

    name: str
    tells: tuple[str, ...]
    updates: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]
    others: tuple[str, ...] = ()
    unseen_tells: tuple[str, ...] = ()
    unseen_questions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Role:
    """A role that somebody has for the user. `tell` and `echo` state who has it. `question` and `answer` are about the
    place where this person lives."""

    tell: str
    echo: str
    question: str
    answer: str


@dataclass(frozen=True)
class Acquaintances:
    """Two kinds of fact about people: who has a role, and where a person lives. Sentences in `residence.tells` take a
    person and a place. Only both facts together say where the person with a role lives."""

    roles: tuple[Role, ...]
    residence: Slot


@dataclass(frozen=True)
class Phrasebook:
    """The phrases of one language. `small_talk` draws an interaction without facts. The slot `held_out` never occurs in
    training."""

    language: Language
    slots: tuple[Slot, ...]
    acknowledgement: str
    echo: str
    refusal: str
    small_talk: Callable[[Random], Interaction]
    held_out: Slot
    acquaintances: Acquaintances
