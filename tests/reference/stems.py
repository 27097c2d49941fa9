"""Stems of tokens, letter by letter."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS, LEAST = 5, 3


def stems_of(spelled: Sequence[tuple[bool, str]], opens: Sequence[int] = ()) -> list[str]:
    """Return the stem of each token, "" for none, from how each is spelled: whether it begins a word, and its letters.
    Words end before the tokens whose numbers `opens` lists."""
    found, word = [], ""
    for number, (begins, letters) in enumerate(spelled):
        word = ("" if begins or number in opens else word) + letters
        found.append(word[:LETTERS] if len(word) >= LEAST else "")
    return found


def shared_letters(one: str, other: str) -> int:
    """Count the letters that two stems share from the first on. Equal stems share all that a stem can have."""
    if not one or not other:
        return 0
    count = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return LETTERS if one == other else count
