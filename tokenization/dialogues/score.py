"""Was a memory question answered?"""

from __future__ import annotations

from typing import Literal

from tokenization.dialogues.values import REFUSALS, mentioned, split_values, words
from tokenization.records import Language, Probe, Split

Verdict = Literal["correct", "stale", "wrong", "abstained"]


def contains(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as a sequence of whole words."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def score(answer: str, probe: Probe, language: Language) -> Verdict:
    """`correct`: a gold form and no other value of the slot (of any split). `stale`: only values that held before an
    update. `abstained`: the refusal where the fact was told. Where it was not, the refusal alone is correct."""
    found = mentioned(answer, language, probe.slot)
    refused = contains(answer, REFUSALS[language])
    if probe.kind == "unknown":
        return "correct" if refused and not found else "wrong"
    if any(contains(answer, form) for form in probe.gold):
        return "correct" if found == {probe.gold[0]} else "wrong"
    if found:
        return "stale" if probe.kind == "update" and found <= set(probe.forbidden) else "wrong"
    return "abstained" if refused else "wrong"


def chance(slot: str, language: Language, split: Split) -> float:
    """How often a uniform guess among the values of a split is right."""
    return 1 / len(split_values(language, slot, split))
