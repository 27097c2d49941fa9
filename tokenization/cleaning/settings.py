"""What a user may name in the policy of a corpus: tags of documents, sets of rules, and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tokenization.settings import Settings, require

CleaningTag = Literal[
    "foreign_paragraphs", "vulgar_paragraphs", "damaged_paragraphs", "repeated_paragraphs",
    # shares of the characters of a document that cleaning dropped with its paragraphs
    "emails", "phones", "ibans", "pesels",  # how many there were, masked or not
]  # fmt: skip
WordTag = Literal[
    "words",  # letters and digits in a row
    "mean_word_length",  # characters per word, punctuation included, spaces not
    "symbols",  # "#" and ellipses, per word
    "words_with_letters",  # share of the words
    "stop_words",  # how many of the eight in STOP_WORDS occur
    "top_2gram", "top_3gram", "top_4gram",  # share of the words that lie in the most frequent n-gram, if it repeats
    "repeated_5grams", "repeated_6grams", "repeated_7grams", "repeated_8grams", "repeated_9grams", "repeated_10grams",
    # share of the n-grams that occurred before
]  # fmt: skip
LineTag = Literal[
    "sentences",  # how many end
    "lines_per_word",
    "bullet_lines", "ellipsis_lines", "punctuated_lines",  # shares of the lines that begin or end so
    "short_lines",  # share of the lines of up to 30 characters
    "repeated_lines", "repeated_line_characters",  # shares of the lines that occurred before, and of the characters
    "boilerplate_lines",  # share of the lines that speak of cookies, terms of use, JavaScript and the like
    "curly_brackets", "lorem_ipsum",  # how often they occur
]  # fmt: skip
BENCHMARK = "benchmark"  # how many n-grams of words a text of a benchmark has, too
Tag = Literal[CleaningTag, WordTag, LineTag, "benchmark"]
TAGS: tuple[Tag, ...] = get_args(Tag)

RuleSet = Literal["repetition", "symbols", "gopher", "gopher_repetition", "c4", "fineweb", "boilerplate"]


@dataclass(frozen=True)
class Limits(Settings):
    """The least and the greatest score with which a document stays; None is no limit."""

    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        told = f"least = {self.least}, most"
        require(self.least is None or self.most is None or self.least <= self.most, told, self.most, "no score fits")
