"""In which language a paragraph is: rules where function words speak clearly, `py3langid` where they do not.

Measured on paragraphs of message catalogues, 41 to 100 characters / longer: the rules alone dropped 1.8 / 0.4 % of the
Polish ones from a Polish source (without their diacritics 16 / 4 %) and left 98 / 86 % of the German and 90 / 59 % of
the Spanish ones in an English source. With the library 0.1 / 0.2 % (0.6 / 0.4 %), 11 / 3 % and 67 / 16 %; no English
paragraph was lost either way. The library alone loses 1 % of the English ones and reads 2 MB per CPU-second, so it is
asked only about what is not clear.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from tokenization.cleaning.removals import Removal
from tokenization.records import Language

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNDECIDED_UP_TO = 40  # characters: about so short a paragraph nothing but clear signs is believed
_CLEAR = 3  # signs of one language more than of the other, and
_CLEAR_SHARE = 0.25  # so many of all words
_SURE = 0.9  # probability
_ENOUGH = 1_000  # characters are looked at by the library

_REMOVAL: dict[str, Removal] = {"en": "english", "pl": "polish"}

_WORD = re.compile(r"[^\W\d_]+")
_DIACRITIC = re.compile(r"[ąćęłńóśźż]", re.IGNORECASE)
_TO_ASCII = str.maketrans("ąćęłńóśźż", "acelnoszz")

# Words of both languages ("to", "on", "do", "a", "i", "by", "no", "ten") are in neither list.
_POLISH = frozenset(
    """w z na się nie że jest jak za od po co dla o ale czy lub oraz już tak jego jej ich przez przy pod nad przed bez
    może można jako tylko być był była było były są będzie który która które którego której których tym tego tej te
    tych temu jeśli gdy kiedy gdzie jeszcze bardzo mnie mi mu mam masz ma mają miał ja ty my wy ona ono oni jestem więc
    aby żeby także też każdy wszystko nic ktoś coś sobie siebie swój swoje ze we ku u albo ani lecz ponieważ podczas
    należy wybierz kliknij wtedy teraz dlaczego dlatego dobrze""".split()
)
_ENGLISH = frozenset(
    """the of and in is it that for was with as be at this have from or had not but what all were when we there can an
    your which their if will each about how up out them then she many some so these would other into has more her him
    his my than first been who its now did get may you are they he me us our could should where does don won isn just
    only also click select choose""".split()
)
_POLISH_WORDS = _POLISH | {word.translate(_TO_ASCII) for word in _POLISH} - _ENGLISH - {"sa"}


def polish_lead(paragraph: str) -> int:
    """Signs of Polish (function words, words with Polish diacritics) less signs of English (function words)."""
    return _lead(_WORD.findall(paragraph.lower()))


def foreign(paragraph: str, language: Language) -> Removal | None:
    """Why a paragraph has no place in a source of `language`: the language it is in, or that it says nothing of it."""
    words = _WORD.findall(paragraph.lower())
    lead = _lead(words)
    clear = abs(lead) >= max(_CLEAR, _CLEAR_SHARE * len(words))
    if not clear and len(paragraph) > UNDECIDED_UP_TO:
        guess, probability = _identifier().classify(paragraph[:_ENOUGH])
        if guess == language:
            return None
        if probability >= _SURE:
            return _REMOVAL.get(guess, "foreign")
    if language == "en":
        return "polish" if lead >= 2 else None  # one sign alone may be an initial or a name
    if lead == 0 and len(paragraph) > UNDECIDED_UP_TO and not _DIACRITIC.search(paragraph):
        return "undecided"
    return "english" if lead < 0 else None


def _lead(words: list[str]) -> int:
    english = sum(map(_ENGLISH.__contains__, words))
    polish = sum(map(_POLISH_WORDS.__contains__, words))
    return polish + sum(1 for word in words if not word.isascii() and _DIACRITIC.search(word)) - english


@functools.cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a model of 4 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
