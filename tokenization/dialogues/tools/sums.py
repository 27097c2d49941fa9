"""Sums that a user asks for in words, and how they are written for the calculator. No two splits share a sum
of a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from tokenization.hashing import stable_hash
from tokenization.records import Interaction, Language, Split

BY_ZERO = 0.02  # share of the sums that divide by zero
DECIMAL = 0.15  # share of the other sums with numbers that have a part after the decimal sign
_DRAWS = 200  # until a sum is one of the split
_SMALL_TALK = re.compile(r"(?:What is|Ile to jest) (\d+) (plus|minus) (\d+)\?")  # sums of the phrasebooks
_SIGNS = {"plus": "+", "minus": "-"}


@dataclass(frozen=True)
class Sum:
    """A question, and its expression."""

    question: str
    expression: str


def _any_two(rng: Random) -> tuple[int, int]:
    return _number(rng), _number(rng)


def _smaller_second(rng: Random) -> tuple[int, int]:
    a, b = _any_two(rng)
    return (b, a) if a < b and rng.random() < 0.8 else (a, b)


def _product(rng: Random) -> tuple[int, int]:
    return _number(rng), rng.randint(2, 99)


def _quotient(rng: Random) -> tuple[int, int]:
    divisor = rng.randint(2, 30)
    return divisor * rng.randint(2, 99), divisor


def _number(rng: Random) -> int:
    """Draw a number of one to four digits, all lengths being equally frequent."""
    digits = rng.randint(1, 4)
    return rng.randint(10 ** (digits - 1), 10**digits - 1)


NUMBERS: Mapping[str, Callable[[Random], tuple[int, int]]] = {
    "+": _any_two,
    "-": _smaller_second,
    "*": _product,
    "/": _quotient,
}
ENGLISH: Mapping[str, tuple[str, ...]] = {
    "+": (
        "What is {a} plus {b}?",
        "How much is {a} + {b}?",
        "Add {a} and {b}.",
        "{a} + {b} = ?",
        "I have {a} coins and find {b} more. How many is that?",
        "Work out {a} plus {b}, please.",
    ),
    "-": (
        "What is {a} minus {b}?",
        "How much is {a} - {b}?",
        "Take {b} away from {a}.",
        "{a} - {b} = ?",
        "I had {a} euros and spent {b}. How much is left?",
        "Work out {a} minus {b}, please.",
    ),
    "*": (
        "What is {a} times {b}?",
        "How much is {a} * {b}?",
        "Multiply {a} by {b}.",
        "{a} x {b} = ?",
        "One ticket costs {a} euros. What do {b} tickets cost?",
        "Work out {a} times {b}, please.",
    ),
    "/": (
        "What is {a} divided by {b}?",
        "How much is {a} / {b}?",
        "Divide {a} by {b}.",
        "{a} : {b} = ?",
        "{b} people share {a} euros. What does each get?",
        "Work out {a} divided by {b}, please.",
    ),
}
POLISH: Mapping[str, tuple[str, ...]] = {
    "+": (
        "Ile to jest {a} plus {b}?",
        "Ile to {a} + {b}?",
        "Dodaj {a} i {b}.",
        "{a} + {b} = ?",
        "Mam {a} monet i dostaję jeszcze {b}. Ile to razem?",
        "Policz {a} plus {b}, proszę.",
    ),
    "-": (
        "Ile to jest {a} minus {b}?",
        "Ile to {a} - {b}?",
        "Odejmij {b} od {a}.",
        "{a} - {b} = ?",
        "Miałem {a} zł i wydałem {b}. Ile zostało?",
        "Policz {a} minus {b}, proszę.",
    ),
    "*": (
        "Ile to jest {a} razy {b}?",
        "Ile to {a} * {b}?",
        "Pomnóż {a} przez {b}.",
        "{a} x {b} = ?",
        "Bilet kosztuje {a} zł. Ile zapłacę za {b}?",
        "Policz {a} razy {b}, proszę.",
    ),
    "/": (
        "Ile to jest {a} podzielić przez {b}?",
        "Ile to {a} / {b}?",
        "Podziel {a} przez {b}.",
        "{a} : {b} = ?",
        "{b} osób dzieli {a} zł. Ile dostanie każda?",
        "Policz {a} przez {b}, proszę.",
    ),
}
WORDINGS: Mapping[Language, Mapping[str, tuple[str, ...]]] = {"en": ENGLISH, "pl": POLISH}
DECIMAL_SIGNS: Mapping[Language, str] = {"en": ".", "pl": ","}


def draw_sum(language: Language, split: Split, rng: Random) -> Sum:
    """Draw a sum of a split, in one of its wordings. Training has 80 % of all sums, the others 10 % each."""
    for _ in range(_DRAWS):
        sign = rng.choice(sorted(NUMBERS))
        a, b = map(str, NUMBERS[sign](rng))
        if sign == "/" and rng.random() < BY_ZERO * len(NUMBERS):
            b = "0"
        elif sign != "/" and rng.random() < DECIMAL:
            a += f"{DECIMAL_SIGNS[language]}{rng.randint(1, 99)}".rstrip("0")
        expression = f"{a} {sign} {b}"
        if split_of_sum(expression) == split:
            return Sum(rng.choice(WORDINGS[language][sign]).format(a=a, b=b), expression)
    raise RuntimeError(f"{_DRAWS} sums, and none of the split {split}")


def split_of_sum(expression: str) -> Split:
    """Return the split of a sum, in both languages the same."""
    share = stable_hash(f"sum/{expression.replace(',', '.')}") % 10
    return "train" if share < 8 else "validation" if share == 8 else "test"


def sum_of_small_talk(turn: Interaction) -> Sum | None:
    """Return the sum that a turn of the phrasebooks' small talk asks for, or None."""
    found = _SMALL_TALK.fullmatch(turn.query)
    return Sum(turn.query, f"{found[1]} {_SIGNS[found[2]]} {found[3]}") if found else None
