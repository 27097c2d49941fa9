"""Which values a split may use, and draws of them.

The splits share no value, whatever its kind, its language or the form in which it is said: the text of its shortest
form decides. Kinds with too few values for that, weekdays and months, occur in training alone. A value that the
template generator knows is of the split that it has there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from tokenization.dialogues.broad.english_values import EnglishValues
from tokenization.dialogues.broad.polish_values import PolishValues
from tokenization.dialogues.broad.value_maker import ValueMaker
from tokenization.dialogues.value_lists import Value
from tokenization.dialogues.values import VALUES, split_values, words
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, SPLITS, Language, Split

TOO_FEW_VALUES = ("month", "weekday")
_MAKERS: dict[Language, Callable[[], ValueMaker]] = {"en": EnglishValues, "pl": PolishValues}
_MOST_DRAWS = 2_000


def split_of_value(value: Value) -> Split:
    """That of its shortest form, about 80, 10 and 10 % of all; one that the template generator knows is of the split
    that it has there."""
    form = words(shortest(value))
    share = stable_hash(f"broad/value/{' '.join(form)}") % 10
    return _of_templates().get(form) or ("train" if share < 8 else "validation" if share == 8 else "test")


def shortest(value: Value) -> str:
    """The form with the fewest words, of those the first in the alphabet: one for all ways to say a value."""
    return min(value, key=lambda form: (len(form.split()), form))


def draw_value(language: Language, kind: str, split: Split, rng: Random, gender: str = "") -> Value:
    """A value of a split."""
    listed = listed_values(language, kind, split)
    if listed:
        return rng.choice(listed)
    maker = _maker(language)
    for _ in range(_MOST_DRAWS):
        value = maker.draw(kind, rng, gender)
        if split_of_value(value) == split:
            return value
    raise ValueError(f"{language}: no value of the kind {kind} in {split} after {_MOST_DRAWS} draws")


@cache
def listed_values(language: Language, kind: str, split: Split) -> tuple[Value, ...]:
    """All values of a closed kind in a split; none for an open kind."""
    listed = _maker(language).listed.get(kind, ())
    if kind in TOO_FEW_VALUES:
        return listed
    return tuple(value for value in listed if split_of_value(value) == split)


@cache
def _maker(language: Language) -> ValueMaker:
    return _MAKERS[language]()


@cache
def _of_templates() -> dict[tuple[str, ...], Split]:
    """Word sequence of every value of the template generator -> its split; training wins where slots differ."""
    found: dict[tuple[str, ...], Split] = {}
    for split in reversed(SPLITS):
        for language in LANGUAGES:
            for slot in VALUES[language]:
                found |= {words(form): split for value in split_values(language, slot, split) for form in value}
    return found
