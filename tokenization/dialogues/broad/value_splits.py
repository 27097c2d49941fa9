"""Draw values that a split may use.

The text of its shortest form decides the split of a value, so splits share no value across kinds, languages or forms.
Weekdays, months and small numbers have too few values for this, and attributes with them occur only in training; small
numbers that other splits have are left out. A value of the template generator is in the same split as there.
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

TOO_FEW_VALUES = ("month", "small_number", "weekday")
_MAKERS: dict[Language, Callable[[], ValueMaker]] = {"en": EnglishValues, "pl": PolishValues}
_MOST_DRAWS = 2_000


def split_of_value(value: Value) -> Split:
    """Return the split of a value. The splits have about 80, 10 and 10 % of all values. A value of the template
    generator is in the same split as there."""
    form = words(shortest(value))
    share = stable_hash(f"broad/value/{' '.join(form)}") % 10
    return _of_templates().get(form) or ("train" if share < 8 else "validation" if share == 8 else "test")


def shortest(value: Value) -> str:
    """Return the form with the fewest words, and of these the alphabetically first. Variants of a value share it."""
    return min(value, key=lambda form: (len(form.split()), form))


def draw_value(language: Language, kind: str, split: Split, rng: Random, gender: str = "") -> Value:
    """Draw a value of a split."""
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
    """Return all values of a closed kind in a split, or none for an open kind."""
    listed = _maker(language).listed.get(kind, ())
    if kind in TOO_FEW_VALUES:
        return listed
    return tuple(value for value in listed if split_of_value(value) == split)


def is_listed(language: Language, kind: str) -> bool:
    """Say whether all values of a kind are listed."""
    return kind in _maker(language).listed


@cache
def _maker(language: Language) -> ValueMaker:
    return _MAKERS[language]()


@cache
def _of_templates() -> dict[tuple[str, ...], Split]:
    """Map the words of every value of the template generator to its split. If slots differ, training wins."""
    found: dict[tuple[str, ...], Split] = {}
    for split in reversed(SPLITS):
        for language in LANGUAGES:
            for slot in VALUES[language]:
                found |= {words(form): split for value in split_values(language, slot, split) for form in value}
    return found
