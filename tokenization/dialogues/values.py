"""Choose the values that a split may use, and find values in text.

The splits share no value of a slot, but every part of a value (a first name, a digit) occurs in training.
"""

from __future__ import annotations

import re
from functools import cache

from tokenization.dialogues import english_values, polish_values
from tokenization.dialogues.value_lists import Value
from tokenization.hashing import stable_hash
from tokenization.records import Language, Split

VALUES: dict[Language, dict[str, tuple[Value, ...]]] = {"en": english_values.VALUES, "pl": polish_values.VALUES}
REFUSALS: dict[Language, str] = {"en": english_values.REFUSAL, "pl": polish_values.REFUSAL}
ROLES: dict[Language, tuple[str, ...]] = {"en": english_values.ROLES, "pl": polish_values.ROLES}
SPECIAL_SLOTS = ("birthday", "residence")  # only some conversations tell these
PERSON = "person"  # the table of acquaintances' names; a name alone is no fact
SLOT_NAMES = tuple(name for name in english_values.VALUES if name not in (*SPECIAL_SLOTS, PERSON))

_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text without case and punctuation. Answers are compared by these."""
    return tuple(_WORD.findall(text.casefold()))


@cache
def split_values(language: Language, slot: str, split: Split) -> tuple[Value, ...]:
    """Return the values of a split with all their surface forms. The splits have about 80, 10 and 10 % of a slot's
    table. The hash does not depend on the language, so a code held out in English is also held out in Polish."""
    shares: dict[Split, range] = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
    return tuple(value for value in VALUES[language][slot] if stable_hash(f"{slot}/{value[0]}") % 10 in shares[split])


def value_table(language: Language, slot: str, split: Split) -> tuple[str, ...]:
    """Return the values of a split, each in the form that sentences use."""
    return tuple(value[0] for value in split_values(language, slot, split))


@cache
def _forms(language: Language, slot: str) -> dict[tuple[str, ...], str]:
    """Map the words of every surface form of a slot, over all splits, to the value."""
    return {words(form): value[0] for value in VALUES[language][slot] for form in value}


@cache
def _all_forms(language: Language) -> dict[tuple[str, ...], str]:
    return {form: value for slot in SLOT_NAMES for form, value in _forms(language, slot).items()}


@cache
def _lengths(language: Language, slot: str | None) -> tuple[int, ...]:
    forms = _forms(language, slot) if slot else _all_forms(language)
    return tuple(sorted({len(form) for form in forms}))


def mentioned(text: str, language: Language, slot: str | None = None) -> set[str]:
    """Return the values of a slot (None: of all SLOT_NAMES) that a text contains in any of their forms."""
    forms = _forms(language, slot) if slot else _all_forms(language)
    sequence = words(text)
    spans = (sequence[i : i + n] for n in _lengths(language, slot) for i in range(len(sequence) - n + 1))
    return {forms[span] for span in spans if span in forms}
