"""Helpers that build the value tables of all languages."""

from __future__ import annotations

Value = tuple[str, ...]
"""The surface forms of one value: first the one that stands in every sentence, then the others that are accepted."""


def pairs(first: str, second: str, pattern: str = "{} {}") -> tuple[Value, ...]:
    """Combine every word of one list with every word of another, as values with one form. Blanks separate words."""
    return tuple((pattern.format(a, b),) for a in first.split() for b in second.split())


CODES: tuple[Value, ...] = tuple((str(code),) for code in range(1000, 10_000))
HOURS: tuple[str, ...] = tuple(f"{hour}:{minute}" for hour in range(8, 20) for minute in ("00", "15", "30", "45"))
DAYS_OF_MONTH = " ".join(map(str, range(1, 29)))
HOUSE_NUMBERS = " ".join(map(str, range(10, 50)))
