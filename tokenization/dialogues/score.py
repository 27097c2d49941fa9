"""Score answers to memory questions."""

from __future__ import annotations

from typing import Literal

from tokenization.dialogues.broad.refusals import refuses
from tokenization.dialogues.broad.value_splits import listed_values
from tokenization.dialogues.values import mentioned, split_values, words
from tokenization.records import BROAD, Language, Probe, Split

Verdict = Literal["correct", "stale", "wrong", "abstained"]


def contains(text: str, phrase: str) -> bool:
    """Say whether a text contains a phrase as a sequence of whole words."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def score(answer: str, probe: Probe, language: Language) -> Verdict:
    """Score an answer.

    `correct`: it contains a gold form and no other value of the slot. Values of all splits count; for questions of the
    broad generator, only values that it told. `stale`: it contains only values from before an update. `abstained`: it
    refuses, although the fact was told. If the fact was not told, only a refusal is correct.
    """
    broad = probe.generator == BROAD
    if broad:
        found = {value for value in probe.forbidden if contains(answer, value)}
    else:
        found = mentioned(answer, language, probe.slot)
    refused = refuses(answer, language)
    if probe.kind == "unknown":
        return "correct" if refused and not found else "wrong"
    right = [contains(answer, form) for form in probe.gold]
    if all(right) if probe.tag == "two-facts" else any(right):
        return "correct" if found == (set() if broad else {probe.gold[0]}) else "wrong"
    if found:
        stale = probe.forbidden[:1] if broad else probe.forbidden  # the broad generator changes a fact once
        return "stale" if probe.kind == "update" and found <= set(stale) else "wrong"
    return "abstained" if refused else "wrong"


def chance(slot: str, language: Language, split: Split) -> float:
    """Return how often a uniform guess among the values of a split is right, or 0 if the set of values is open."""
    kind = slot.removeprefix(f"{BROAD}/")
    found = split_values(language, slot, split) if kind == slot else listed_values(language, kind, split)
    return 1 / len(found) if found else 0.0
