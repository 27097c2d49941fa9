"""Tell the language of a paragraph: by rules if its function words are clear, else by the library `py3langid`.

Measured on paragraphs of message catalogues, of 41 to 100 characters and of more:

- Rules alone drop 1.8 % and 0.4 % of the Polish paragraphs of a Polish source (16 % and 4 % without diacritics). They
  leave 98 % and 86 % of the German and 90 % and 59 % of the Spanish paragraphs in an English source.
- With the library these are 0.1 % and 0.2 % (0.6 % and 0.4 %), 11 % and 3 %, 67 % and 16 %.
- Neither way loses an English paragraph.

The library alone loses 1 % of the English paragraphs and reads 2 MB per CPU-second. So it is asked only if the rules
are unclear.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from tokenization.cleaning.removals import Removal
from tokenization.records import Language

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNDECIDED_UP_TO = 40  # characters: in a paragraph this short, only clear signs count
_CLEAR = 3  # at least so many more signs of one language than of the other are clear,
_CLEAR_SHARE = 0.25  # and at least this share of all words
_SURE = 0.9  # probability
_ENOUGH = 1_000  # the library looks at so many characters

_REMOVAL: dict[str, Removal] = {"en": "english", "pl": "polish"}

_WORD = re.compile(r"[^\W\d_]+")
_DIACRITIC = re.compile(r"[ąćęłńóśźż]", re.IGNORECASE)
_TO_ASCII = str.maketrans("ąćęłńóśźż", "acelnoszz")

# Words that both languages have ("to", "on", "do", "a", "i", "by", "no", "ten") are in neither list.
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
    """Count the signs of Polish (function words, words with diacritics), less those of English (function words)."""
    return _lead(_WORD.findall(paragraph.lower()))


def foreign(paragraph: str, language: Language) -> Removal | None:
    """Return why a paragraph is out of place in a source of `language` (another language, or undecided), else None."""
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
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # loads a model of 4 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
