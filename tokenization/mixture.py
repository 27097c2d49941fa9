"""Compute how often each source is read, so that sources and languages get their shares of the training tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tokenization.records import Language

SourceOf = tuple[str, Language]


class MixtureError(ValueError):
    """The corpus cannot give a mixture. The message names the value and what the corpus has."""


def passes(
    available: Mapping[SourceOf, float],
    weights: Mapping[str, float],
    most_passes: Mapping[Language, float],
    polish_share: float,
    max_tokens: int | None = None,
) -> dict[SourceOf, float]:
    """Return the passes over each source in each language, given its tokens (or bytes, if tokens are not known yet).

    Sources of one language are read in proportion to their `weights` (1 if none is given); the one with the highest
    weight is read at most `most_passes` times. Polish gets `polish_share` of the tokens, or less if that would take
    more passes. `max_tokens` limits the whole; if one language cannot fill its part, the other does not take the rest.
    Raises MixtureError for weights of unknown sources, and if no token would be left.
    """
    check_known(weights, {source for source, _ in available})
    heights: dict[Language, float] = {"en": 0.0, "pl": 0.0}
    tokens: dict[Language, float] = {"en": 0.0, "pl": 0.0}  # of one pass, each source times its weight
    for (source, language), count in available.items():
        weight = weights.get(source, 1.0)
        heights[language] = max(heights[language], weight if count else 0.0)
        tokens[language] += weight * count
    scale = {name: most_passes[name] / height if height else 0.0 for name, height in heights.items()}
    wanted = _shares({name: scale[name] * tokens[name] for name in tokens}, polish_share, max_tokens)
    if not any(wanted.values()):
        raise MixtureError(f"weights and polish_share = {polish_share:g} leave no token of {len(available)} sources")
    return {
        (source, language): weights.get(source, 1.0) * wanted[language] / tokens[language] if tokens[language] else 0.0
        for source, language in available
    }


def check_known(weights: Collection[str], sources: Collection[str]) -> None:
    """Raise MixtureError if there are weights of sources that the corpus does not have."""
    if unknown := sorted(set(weights) - set(sources)):
        known = ", ".join(sorted(sources))
        raise MixtureError(f"weights name {', '.join(map(repr, unknown))}; the corpus has {known}")


def portions(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide `total` by the weights into whole parts that add up to it; all are 0 if no weight is above 0."""
    whole = sum(weights.values())
    parts, done, before = {}, 0.0, 0
    for name, weight in weights.items():
        done += weight
        end = round(total * done / whole) if whole else 0
        parts[name], before = end - before, end
    return parts


def _shares(most: Mapping[Language, float], polish_share: float, max_tokens: int | None) -> dict[Language, float]:
    """Return the tokens wanted of each language, given the most that each can give."""
    english, polish = most["en"], most["pl"]
    if max_tokens:
        english, polish = min(english, max_tokens * (1 - polish_share)), min(polish, max_tokens * polish_share)
    if english and polish_share < 1:
        polish = min(polish, english * polish_share / (1 - polish_share))
    elif polish_share == 1:
        english = 0.0
    return {"en": english, "pl": polish}
