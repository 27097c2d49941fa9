"""Decide by their tags which documents are left out: sets of rules as they are published, and limits of one's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tokenization.cleaning.settings import BENCHMARK, Limits, RuleSet, Tag

_ENOUGH_WORDS = 50  # a ratio in a shorter document means nothing


class Rule(NamedTuple):
    """Limits on the score `tag` of documents that have at least `from_words` words. `name` is a rule set or, of a limit
    of one's own, the tag."""

    name: str
    tag: Tag
    limits: Limits
    from_words: int = 0

    def __str__(self) -> str:
        bounds = (("<", self.limits.least), (">", self.limits.most))
        told = " or ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        return f"{self.name}: {self.tag} {told}"

    def broken(self, scores: Mapping[Tag, np.ndarray]) -> np.ndarray:
        """Return whether each document is out of the limits, bool [D]."""
        score = scores[self.tag]
        bad = np.zeros(len(score), bool)
        if self.limits.least is not None:
            bad |= score < np.float32(self.limits.least)
        if self.limits.most is not None:
            bad |= score > np.float32(self.limits.most)
        return bad & (scores["words"] >= self.from_words)


def _rules(name: RuleSet, most: Mapping[Tag, float], least: Mapping[Tag, float], from_words: int = 0) -> list[Rule]:
    limits = {tag: Limits(least.get(tag), most.get(tag)) for tag in (*most, *least)}
    return [Rule(name, tag, each, from_words) for tag, each in limits.items()]


_AGAIN: dict[Tag, float] = {
    "repeated_5grams": 0.15, "repeated_6grams": 0.14, "repeated_7grams": 0.13, "repeated_8grams": 0.12,
    "repeated_9grams": 0.11, "repeated_10grams": 0.10,
}  # fmt: skip
_TOP: dict[Tag, float] = {"top_2gram": 0.20, "top_3gram": 0.18, "top_4gram": 0.16}
# Gopher asks for words of 3 to 10 characters on average, in English. Polish words are longer.
KNOWN: tuple[Rule, ...] = (
    *_rules("repetition", _TOP | {tag: _AGAIN[tag] for tag in ("repeated_5grams", "repeated_10grams")}, {},
            _ENOUGH_WORDS),
    *_rules("symbols", {"symbols": 0.1, "mean_word_length": 12}, {"mean_word_length": 2}, _ENOUGH_WORDS),
    *_rules("gopher",
            {"words": 100_000, "mean_word_length": 12, "symbols": 0.1, "bullet_lines": 0.9, "ellipsis_lines": 0.3},
            {"words": 50, "mean_word_length": 3, "words_with_letters": 0.8, "stop_words": 2}),
    *_rules("gopher_repetition", _TOP | _AGAIN | {"repeated_lines": 0.3, "repeated_line_characters": 0.2}, {}),
    *_rules("c4", {"curly_brackets": 0, "lorem_ipsum": 0}, {"sentences": 5}),
    *_rules("fineweb", {"short_lines": 0.67, "repeated_line_characters": 0.01, "lines_per_word": 0.3},
            {"punctuated_lines": 0.12}),
    *_rules("boilerplate", {"boilerplate_lines": 0.3}, {}),
)  # fmt: skip
_NO_BENCHMARK = Rule(BENCHMARK, BENCHMARK, Limits(most=0))


class FilterPolicy:
    """The rules that hold for a source: those of `rule_sets` but `skip`, of which each limit of one's own takes the
    place of those on its tag. Texts of benchmarks are always left out.

    `reasons` names why documents are left out: their rule set or, for a limit of one's own, its tag.
    """

    def __init__(self, rule_sets: Collection[str], limits: Mapping[Tag, Limits], skip: Collection[str] = ()) -> None:
        own = [Rule(tag, tag, each) for tag, each in limits.items()]
        chosen = [rule for rule in KNOWN if rule.name in rule_sets and rule.name not in skip and rule.tag not in limits]
        self.rules = [_NO_BENCHMARK, *chosen, *own]
        self.reasons: Sequence[str] = tuple(dict.fromkeys(rule.name for rule in self.rules))
        self.known = [*self.rules, *(rule for rule in KNOWN if rule not in chosen)]

    def decide(self, scores: Mapping[Tag, np.ndarray]) -> np.ndarray:
        """Return 0 for each document that stays, else 1 + the place of its first reason in `reasons`, int8 [D]."""
        found = np.zeros(len(scores[BENCHMARK]), np.int8)
        for rule in self.rules:
            found[rule.broken(scores) & (found == 0)] = 1 + self.reasons.index(rule.name)
        return found
