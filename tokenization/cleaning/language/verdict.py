"""Tell whether a paragraph is in the language of its source: by its function words if they are clear, else by the
library `py3langid`.

What counts is how likely the language itself is, not which one is the likeliest: Croatian is split among Croatian,
Bosnian and Serbian, so none of them is certain, but Polish is out of the question. `tests/benchmarks/data/languages.py`
measures this and other identifiers on real paragraphs of near relatives.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

from tokenization.cleaning.language.signs import (
    is_sentence_in_capitals,
    not_capitalised,
    other_letters,
    own_signs,
    signs_of_relatives,
    without_polish_names,
    without_shared,
    words,
)
from tokenization.cleaning.removals import Removal
from tokenization.records import Language

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LanguageVerdict = Removal | Literal["own", "unsure"]

_CLEAR, _CLEAR_SHARE = 3, 0.25  # at least so many signs, and this share of all words, are clear
_RELATIVE_SHARE = 0.05  # of the words: so many signs of a relative speak against the language
_FEW_WORDS = 12  # in a paragraph of so few words, one sign of a relative is enough
_SHORT = 40  # characters: what is shorter says little
_LIKELY, _LIKELY_IF_SHORT = 0.05, 0.01  # least probability of the language
_NEAR, _NEAR_IF_SHORT = 1.05, 1.1  # greatest distance of the language, as a multiple of the least one
_FAR = 10**9
_LEAST_LETTERS, _BESIDE_LATIN = 4, 20  # of another script; fewer beside Latin words are a name that is explained
_LEAST_WORDS = 2  # that are not capitalised: names have no language
_ENOUGH = 500  # the library looks at so many characters

_REMOVAL: dict[str, Removal] = {"en": "english", "pl": "polish"}


def verdict(paragraph: str, language: Language, with_py3langid: bool = True) -> LanguageVerdict:
    """Say whether a paragraph is in `language` ("own"), or why it is out of place in its source. Names and what is too
    short to tell are "unsure". Without the package py3langid, resiliparse tells languages."""
    found = words(paragraph)
    others = other_letters(paragraph)
    letters = sum(map(len, found))
    if others >= (_LEAST_LETTERS if others >= letters else _BESIDE_LATIN) and 2 * others >= letters:
        return "foreign"
    lower, small = list(map(str.lower, found)), not_capitalised(found)
    relatives = signs_of_relatives(paragraph, found, language, small)
    if relatives >= max(1, _RELATIVE_SHARE * len(found)) and (relatives > 1 or len(found) <= _FEW_WORDS):
        return "foreign"
    own = own_signs(lower, language)
    if not relatives and own >= max(_CLEAR, _CLEAR_SHARE * len(found)):
        return "own"
    if small < _LEAST_WORDS:
        if not is_sentence_in_capitals(paragraph, found):
            return "unsure"
        paragraph = paragraph.lower()
    short = len(paragraph) <= _SHORT
    if short and own_signs(without_shared(lower, language), language):
        return "own"
    likely, winner = _judged(paragraph, language, with_py3langid)
    if not likely and own and winner == "pl" and (rest := without_polish_names(paragraph)) != paragraph:
        likely, _ = _judged(rest, language, with_py3langid)
    if likely:
        return "unsure" if short and winner != language else "own"
    return "foreign" if winner == language else _REMOVAL.get(winner, "foreign")


def _judged(paragraph: str, language: Language, with_py3langid: bool) -> tuple[bool, str]:
    """Return whether a paragraph may be in the language, and which one it is in most likely."""
    if not with_py3langid:
        return is_near(paragraph, language)
    return is_likely(paragraph, language, _LIKELY_IF_SHORT if len(paragraph) <= _SHORT else _LIKELY)


def is_likely(paragraph: str, language: Language, least: float) -> tuple[bool, str]:
    """Return whether the language has at least this probability, and which is the likeliest. What another language
    leaves it is mostly too little, and then the library need not rank them all."""
    winner, certainty = _identifier().classify(paragraph[:_ENOUGH])
    if winner == language:
        return certainty >= least, winner
    if 1 - certainty < least / 2:
        return False, winner
    return probability(paragraph, language)[0] >= least, winner


def probability(paragraph: str, language: Language) -> tuple[float, str]:
    """Return how likely the library holds the language, and which one it holds for the likeliest."""
    ranked = _identifier().rank(paragraph[:_ENOUGH])
    return next(float(likely) for name, likely in ranked if name == language), ranked[0][0]


def is_near(paragraph: str, language: Language) -> tuple[bool, str]:
    """Return whether resiliparse holds the language for about as near as the nearest one, and the nearest one."""
    from resiliparse.parse.lang import detect_fast, supported_langs

    ranked = detect_fast(paragraph[:_ENOUGH], cutoff=_FAR, n_results=len(supported_langs()))
    nearest, least = ranked[0]
    own = next((distance for name, distance in ranked if name == language), _FAR)
    return own <= least * (_NEAR_IF_SHORT if len(paragraph) <= _SHORT else _NEAR), nearest


@functools.cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # loads a model of 4 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
