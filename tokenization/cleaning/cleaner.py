"""Clean one document: repair it, drop damaged, foreign, vulgar and repeated paragraphs, mask what identifies a person,
drop the document if it is too short."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from tokenization.cleaning.language.verdict import LanguageVerdict, verdict
from tokenization.cleaning.misread import is_misread
from tokenization.cleaning.paragraphs import paragraphs as paragraphs_of
from tokenization.cleaning.pii import Pii, masked
from tokenization.cleaning.removals import Removal, Removals
from tokenization.cleaning.repair import Repairs, repair, without_empty_lines
from tokenization.cleaning.settings import CleaningTag
from tokenization.cleaning.tags import TAG_OF_PII
from tokenization.cleaning.vulgar import is_vulgar
from tokenization.hashing import stable_hash
from tokenization.records import Language

REPEATED_FROM = 25  # characters: shorter paragraphs, such as "Yes.", may repeat
REMEMBERED = 1 << 20  # paragraphs
MOSTLY = 0.75  # of the characters whose language is known


_TAG_OF: dict[Removal, CleaningTag] = {
    "damaged letters": "damaged_paragraphs", "english": "foreign_paragraphs", "polish": "foreign_paragraphs",
    "foreign": "foreign_paragraphs", "repeated": "repeated_paragraphs", "vulgar": "vulgar_paragraphs",
}  # fmt: skip


class Cleaned(NamedTuple):
    """What is left of a document, which is empty if that is too little, and the scores of what cleaning found in it.
    Scores that are 0 may be missing."""

    text: str
    scores: dict[CleaningTag, float]


@dataclass
class Cleaner:
    """Cleans the documents of one piece of a source, in order, and counts what it removes and repairs.

    A paragraph is a line, or lines that are one paragraph (`tokenization.cleaning.paragraphs`). If `whole`, a document
    is kept or dropped as one paragraph, so that the turns of a dialogue and the lines of a dictionary entry stay
    together. `skip` names filters that are not applied, `mask` what is masked (`tokenization.cleaning.pii`).

    A paragraph counts as repeated if it equals one of at least the last REMEMBERED kept paragraphs. A 64 MB piece of
    plain text has no more than these, unless its paragraphs are shorter than 64 bytes; a compressed file is one piece,
    however long it is. At most twice as many are remembered, which takes 170 MB.
    """

    language: Language
    min_characters: int
    whole: bool = False
    skip: Collection[str] = ()
    mask: Collection[Pii] = ()
    with_py3langid: bool = field(default=True, kw_only=True)
    removed: Removals = field(default_factory=Removals)
    repaired: Repairs = field(default_factory=Repairs)
    _seen: _Recent = field(default_factory=lambda: _Recent(REMEMBERED))
    _new: set[int] = field(default_factory=set)

    def __call__(self, raw: str) -> Cleaned:
        """Clean the document."""
        text = repair(raw, self.repaired.add)
        size = max(1, len(text))
        self._new.clear()
        dropped: dict[Removal, list[str]] = defaultdict(list)
        kept = []
        paragraphs = [text] if self.whole else paragraphs_of(text)
        for paragraph, foreign in zip(paragraphs, self._foreign(paragraphs), strict=True):
            if reason := foreign or self._flaw(paragraph):
                dropped[reason].append(paragraph)
            else:
                kept.append(paragraph)
        scores: dict[CleaningTag, float] = {}
        for reason, paragraphs in dropped.items():
            self.removed.add(reason, paragraphs)
            tag = _TAG_OF[reason]
            scores[tag] = scores.get(tag, 0) + sum(map(len, paragraphs)) / size
        if dropped:
            text = without_empty_lines("\n".join(kept))
        text, found = masked(text, self.mask)
        scores |= {TAG_OF_PII[kind]: count for kind, count in found.items() if count}
        if len(text) < self.min_characters:
            self.removed.add("short", [text])
            return Cleaned("", scores)
        self._seen.update(self._new)
        return Cleaned(text, scores)

    def _foreign(self, paragraphs: list[str]) -> list[Removal | None]:
        """Why each paragraph is out of place, or None. What is too short to tell, such as a heading, goes with the
        others if most of the document is foreign."""
        if "language" in self.skip:
            return [None] * len(paragraphs)
        verdicts: list[LanguageVerdict] = [
            verdict(paragraph, self.language, self.with_py3langid) if paragraph else "unsure"
            for paragraph in paragraphs
        ]
        sizes: Counter[str] = Counter()
        for paragraph, found in zip(paragraphs, verdicts, strict=True):
            sizes[found] += len(paragraph)
        foreign = sizes.total() - sizes["own"] - sizes["unsure"]
        rest: Removal | None = "foreign" if foreign > MOSTLY * (foreign + sizes["own"]) else None

        def reason(paragraph: str, found: LanguageVerdict) -> Removal | None:
            if found == "own" or not paragraph:
                return None
            return rest if found == "unsure" else found

        return [reason(paragraph, found) for paragraph, found in zip(paragraphs, verdicts, strict=True)]

    def _flaw(self, paragraph: str) -> Removal | None:
        if is_misread(paragraph):
            return "damaged letters"
        if "vulgar" not in self.skip and is_vulgar(paragraph, self.language):
            return "vulgar"
        if "repeated" in self.skip or len(paragraph) < REPEATED_FROM:
            return None
        digest = stable_hash(paragraph)
        if digest in self._seen or digest in self._new:
            return "repeated"
        self._new.add(digest)
        return None


class _Recent:
    """Remembers the latest digests: at least `count`, at most about twice as many."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def __contains__(self, digest: int) -> bool:
        return digest in self._newer or digest in self._older

    def update(self, digests: set[int]) -> None:
        self._newer |= digests
        if len(self._newer) >= self._count:
            self._newer, self._older = set(), self._newer
