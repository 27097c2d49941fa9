"""Late interaction and its corrections, word by word."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from rxt_model.copying.matching import STEM_COSINES
from rxt_model.copying.runs import LONGEST
from tests.reference.stems import shared_letters

# the sources of one interaction: a word's id, its term and weight where told, and its stem, empty if it has none; None
# is a source that is no word, or not usable
Words = Sequence[tuple[int, torch.Tensor, str] | None]


def shared_run(later: Words, earlier: Words) -> int:
    """Search the longest run of words that two interactions share, at most `LONGEST`."""
    longest = 0
    for start in range(len(later)):
        for at in range(len(earlier)):
            length = 0
            while (
                start + length < len(later)
                and at + length < len(earlier)
                and (one := later[start + length])
                and (other := earlier[at + length])
                and one[0] == other[0]
            ):
                length += 1
            longest = max(longest, length)
    return min(longest, LONGEST)


def corrects(matching, telling: float, interactions: Sequence[Words], n: int) -> list[float]:
    """Return how far interaction n corrects each earlier one."""
    part = {name: value.item() for name, value in matching.corrections.named_parameters()}
    scores = [
        math.exp(part["length"] * shared_run(interactions[n], said) - part["ageing"] * (n - m - 1) - part["least"])
        if any(said)
        else 0.0
        for m, said in enumerate(interactions[:n])
    ]
    gate = 1 / (1 + math.exp(-part["telling"] * telling - part["plain"]))
    return [gate * score / (1 + sum(scores)) for score in scores]


def log_odds(
    matching, asked: torch.Tensor, stems: Sequence[str], interactions: Sequence[Words], n: int, newer: float
) -> float:
    """Score interaction n for the words that are asked, [W, t + 3], the rows of the table without the signature, and
    their stems."""
    gain, threshold, recency = (getattr(matching, name).item() for name in ("gain", "threshold", "recency"))
    mine = covered(matching, asked, stems, interactions, n)
    telling = telling_of(matching, interactions, n)
    return math.exp(gain) * (mine - threshold) + telling - recency * newer


def telling_of(matching, interactions: Sequence[Words], n: int) -> float:
    """Sum what the words of an interaction weigh where they are told."""
    told = [word[1] for word in interactions[n] if word]
    return sum(row[matching.term_dim].item() for row in told) / math.sqrt(max(1, len(told)))


def covered(matching, asked: torch.Tensor, stems: Sequence[str], interactions: Sequence[Words], n: int) -> float:
    """Return how far interaction n covers the words that are asked, what it corrects included."""
    links = corrects(matching, telling_of(matching, interactions, n), interactions, n)
    total = 0.0
    for (share, term), stem in zip(shares(asked, matching.term_dim), stems, strict=True):
        best = [largest(matching, term, stem, said) for said in interactions[: n + 1]]
        of_others = sum(link * (there + 1) for link, there in zip(links, best, strict=False)) - 1
        total += share * max(best[n], of_others)
    return total


def astray(
    matching, asked: torch.Tensor, stems: Sequence[str], words: Words, places: Sequence[float], at: int
) -> float:
    """Return how far source `at` of an interaction goes astray. Its words stand at `places` among clauses."""
    if not words[at]:
        return 0.0
    weighed = list(zip(shares(asked, matching.term_dim), stems, strict=True))

    def covered(there: float) -> float:
        return sum(
            share
            * max(
                [-1.0]
                + [
                    largest(matching, term, stem, [word]) - abs(there - place)
                    for word, place in zip(words, places, strict=True)
                    if word
                ]
            )
            for (share, term), stem in weighed
        )

    return max(covered(place) for word, place in zip(words, places, strict=True) if word) - covered(places[at])


def shares(asked: torch.Tensor, t: int) -> list[tuple[float, torch.Tensor]]:
    """Return the share and the term of each word that is asked."""
    weights = [row[:t].norm().item() * math.exp(row[t + 1].item()) for row in asked]
    return [(weight / sum(weights), row[:t]) for weight, row in zip(weights, asked, strict=True)]


def largest(matching, term: torch.Tensor, stem: str, words: Words) -> float:
    """Return the largest cosine with a word, or -1. Words that share their first letters have a
    certain cosine, at least."""
    cosines = [
        max(
            torch.cosine_similarity(term, word[1][: len(term)], 0).item(),
            dict(zip(STEM_COSINES, matching.stem_cosines.tolist(), strict=True)).get(
                shared_letters(stem, word[2]), -1.0
            ),
        )
        for word in words
        if word
    ]
    return max(cosines, default=-1.0)
