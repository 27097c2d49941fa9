"""Runs of tokens before a source, found by a search."""

from __future__ import annotations

from collections.abc import Sequence

from rxt_model.copying.runs import LONGEST


def longest_run(
    said: Sequence[int], held: Sequence[int], usable: Sequence[bool], joined: Sequence[bool], token: int, source: int
) -> int:
    """Count back from a token of `said` and from the source before `source`, as long as both are equal."""
    if not joined[source]:
        return 0
    length, at = 0, source - 1
    while length < LONGEST and token >= length and usable[at] and said[token - length] == held[at]:
        length += 1
        if not joined[at]:
            break
        at -= 1
    return length
