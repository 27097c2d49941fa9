"""Was a memory question answered?"""

from __future__ import annotations

from typing import Literal

from tokenization.dialogues.broad.refusals import refuses
from tokenization.dialogues.broad.value_splits import listed_values
from tokenization.dialogues.values import mentioned, split_values, words
from tokenization.records import BROAD, Language, Probe, Split

Verdict = Literal["correct", "stale", "wrong", "abstained"]


def contains(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as a sequence of whole words."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def score(answer: str, probe: Probe, language: Language) -> Verdict:
    """`correct`: a gold form and no other value of the slot (of any split; where the broad generator asks, none that it
    told). `stale`: only values that held before an update. `abstained`: a refusal where the fact was told. Where it was
    not, a refusal alone is correct."""
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
    """How often a uniform guess among the values of a split is right: 0 where they are open."""
    kind = slot.removeprefix(f"{BROAD}/")
    found = split_values(language, slot, split) if kind == slot else listed_values(language, kind, split)
    return 1 / len(found) if found else 0.0
