"""Clean documents: repair, normalise, drop what is in the wrong language, repeated, vulgar or short."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import ftfy

from tokenization.dialogues.values import stable_hash
from tokenization.records import Language, Split

REPEATED_FROM = 25  # characters: shorter paragraphs, such as "Yes.", may repeat
UNDECIDED_UP_TO = 40  # characters: a longer paragraph without any sign of its language is dropped from Polish text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\ufffd\ufff9-\ufffb\ue000-\uf8ff]")
_SPACE = re.compile(r"[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
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
_VULGAR = re.compile(
    r"\b(\w*(kurw|kurew|pierdol|pierdal|pizd|jeba|jebi|jebn|cipk|kutas|fuck)|chuj|huj|cip[aęy]\b|dup[aąęy]\b|dupie\b|gówn|"
    r"sra[ćłl]|ruchał|cyck|\w*shit(s|ty)?\b|cunt|nigger|whore)",
    re.IGNORECASE,
)

Removal = Literal["english", "polish", "undecided", "repeated", "vulgar", "short"]


def repair(text: str) -> str:
    """Doubly encoded letters restored, NFC, line ends `\\n`, plain spaces, no control characters, no space at line
    ends, at most one empty line in a row."""
    text = unicodedata.normalize("NFC", ftfy.fix_encoding(text))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _SPACE.sub(" ", _CONTROL.sub("", text))
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def polish_lead(paragraph: str) -> int:
    """Signs of Polish (function words, words with Polish diacritics) less signs of English (function words)."""
    words = _WORD.findall(paragraph.lower())
    polish = sum((word in _POLISH_WORDS) + bool(_DIACRITIC.search(word)) for word in words)
    return polish - sum(word in _ENGLISH for word in words)


def split_of(text: str, validation_fraction: float, test_fraction: float) -> Split:
    """By a stable hash of the text: equal texts, of whatever source, are in the same split."""
    place = stable_hash(f"split {text}") / 2**64
    if place < test_fraction:
        return "test"
    return "validation" if place < test_fraction + validation_fraction else "train"


def document_id(source: str, text: str) -> str:
    """Stable: the same text of the same source has the same id."""
    return f"{source}-{stable_hash(text):016x}"


@dataclass
class Cleaner:
    """Cleans the documents of one source, in order, and counts what it removes.

    A paragraph is a line. With `whole` a document is kept or dropped as one paragraph, so that the turns of a dialogue
    and the lines of a dictionary entry stay together. `removed` counts UTF-8 bytes by reason.
    """

    language: Language
    min_characters: int
    whole: bool = False
    removed: Counter[Removal] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)

    def __call__(self, raw: str) -> str:
        """The clean text, or an empty string where too little is left."""
        text = repair(raw)
        if _VULGAR.search(text):
            return self._remove("vulgar", text)
        paragraphs = [text] if self.whole else text.split("\n")
        text = "\n".join(p for p in paragraphs if self._keeps(p))
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        return text if len(text) >= self.min_characters else self._remove("short", text)

    def _keeps(self, paragraph: str) -> bool:
        if reason := self._foreign(paragraph) or self._repeated(paragraph):
            self._remove(reason, paragraph)
        return not reason

    def _foreign(self, paragraph: str) -> Removal | None:
        lead = polish_lead(paragraph)
        if self.language == "en":
            return "polish" if lead >= 2 else None  # one sign alone may be an initial or a name
        if lead == 0 and len(paragraph) > UNDECIDED_UP_TO and not _DIACRITIC.search(paragraph):
            return "undecided"
        return "english" if lead < 0 else None

    def _repeated(self, paragraph: str) -> Removal | None:
        if len(paragraph) < REPEATED_FROM:
            return None
        digest = stable_hash(paragraph)
        if digest in self._seen:
            return "repeated"
        self._seen.add(digest)
        return None

    def _remove(self, reason: Removal, text: str) -> str:
        self.removed[reason] += len(text.encode())
        return ""
