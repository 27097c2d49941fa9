"""Score documents: one number per document for each tag. `tokenization.cleaning.policy` decides by them what is left
out, so thresholds can change without scoring again.

The tags are those by which the usual rule sets judge: Gopher (Rae et al. 2021, arXiv:2112.11446, A1.1), C4 (Raffel et
al. 2020, arXiv:1910.10683, 2.2) and FineWeb (Penedo et al. 2024, arXiv:2406.17557, 3.6). Shares of n-grams are over
words where Gopher counts characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.pii import Pii
from tokenization.cleaning.settings import BENCHMARK, TAGS, CleaningTag, LineTag, Tag
from tokenization.cleaning.words import Words, repeated
from tokenization.records import Language

TAG_OF_PII: dict[Pii, CleaningTag] = {"email": "emails", "phone": "phones", "iban": "ibans", "pesel": "pesels"}

STOP_WORDS: dict[Language, str] = {"en": "the be to of and that have with", "pl": "i w na z się nie do to"}
_TOP, _AGAIN = (2, 3, 4), (5, 6, 7, 8, 9, 10)
_SYMBOLS = ("#", "...", "…")
_ELLIPSES = ("...", "…")
_BULLETS = ("•", "●", "‣", "▪", "◦", "–", "—", "-", "*")
_ENDS = (".", "!", "?", "…", '"', "”", "'", "’", "»", ")", ":", ";")
_SENTENCE_ENDS = tuple(mark + after for mark in ".!?…" for after in " \n")
_SHORT = 30  # characters
_BOILERPLATE = ("cookie", "javascript", "terms of use", "terms of service", "privacy policy", "rights reserved",
                "polityka prywatności", "polityki prywatności", "politykę prywatności", "prawa zastrzeżone",
                "regulamin serwisu", "warunki korzystania")  # fmt: skip


def tags(
    texts: Sequence[str],
    words: Words,
    of_cleaning: Sequence[Mapping[CleaningTag, float]],
    benchmark: Benchmark,
    language: Language,
) -> dict[Tag, np.ndarray]:
    """Return the scores of D documents, float32 [D] for each tag. `words` are those of the texts, and `of_cleaning` has
    for each document what cleaning found in it."""
    scores = _word_scores(texts, words, language)
    scores |= {tag: np.array([found.get(tag, 0) for found in of_cleaning]) for tag in get_args(CleaningTag)}
    lines = np.array([_line_scores(text, count) for text, count in zip(texts, words.counts.tolist(), strict=True)])
    scores |= dict(zip(get_args(LineTag), lines.reshape(-1, len(get_args(LineTag))).T, strict=True))
    scores[BENCHMARK] = benchmark.shared_with(words)
    return {tag: scores[tag].astype(np.float32) for tag in TAGS}


def _word_scores(texts: Sequence[str], words: Words, language: Language) -> dict[str, np.ndarray]:
    count = np.maximum(words.counts, 1)
    scores = {
        "words": words.counts,
        "mean_word_length": np.array([len(text) for text in texts]) / count - 1,  # with a space after each word
        "symbols": np.array([sum(map(text.count, _SYMBOLS)) for text in texts]) / count,
        "words_with_letters": 1 - words.numbers / count,
        "stop_words": _stop_words(words, language),
    }
    for n in _TOP:
        _, most = repeated(words.ngrams(n))
        scores[f"top_{n}gram"] = np.where(most > 1, most * n / count, 0)
    for n in _AGAIN:
        ngrams = words.ngrams(n)
        again, _ = repeated(ngrams)
        scores[f"repeated_{n}grams"] = again / np.maximum(ngrams.counts, 1)
    return scores


def _stop_words(words: Words, language: Language) -> np.ndarray:
    ngrams = words.ngrams(1)
    documents = ngrams.documents
    found = np.zeros(len(words.counts), np.int64)
    for stop in Words([STOP_WORDS[language]]).ngrams(1).hashes:
        found += np.bincount(documents[ngrams.hashes == stop], minlength=len(found)) > 0
    return found


def _line_scores(text: str, words: int) -> tuple[float, ...]:
    """The scores of LineTag, in its order."""
    lines = [line for line in text.split("\n") if line]
    count = max(1, len(lines))
    different = set(lines)
    characters = sum(map(len, lines))
    lower = text.lower()
    boilerplate = any(phrase in lower for phrase in _BOILERPLATE)
    return (
        sum(map(text.count, _SENTENCE_ENDS)) + text.endswith((".", "!", "?", "…")),
        len(lines) / max(1, words),
        sum(line.startswith(_BULLETS) for line in lines) / count,
        sum(line.endswith(_ELLIPSES) for line in lines) / count,
        sum(line.endswith(_ENDS) for line in lines) / count,
        sum(len(line) <= _SHORT for line in lines) / count,
        (len(lines) - len(different)) / count,
        (characters - sum(map(len, different))) / max(1, characters),
        sum(any(phrase in line for phrase in _BOILERPLATE) for line in lower.split("\n")) / count if boilerplate else 0,
        text.count("{"),
        lower.count("lorem ipsum"),
    )
