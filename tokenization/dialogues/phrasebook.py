"""What a language brings to the generator beside its values: sentences of every slot, fixed replies, small talk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tokenization.records import Interaction, Language


@dataclass(frozen=True)
class Slot:
    """One kind of fact. Sentences hold `{}` where the value goes; each question comes with its answer. `others` tell
    the same of somebody else; the `unseen` ones never occur in training."""

    name: str
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
