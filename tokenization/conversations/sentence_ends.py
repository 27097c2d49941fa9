"""Where sentences may end, by few rules of this project: after a point, a question mark or an exclamation mark before
a space, unless an abbreviation or an initial stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.records import Language

_END = re.compile(r"[.!?…]+[\"”’'»)\]]*\s+")
_INITIAL = re.compile(r"(?<!\w)[^\W\d_]\.\s+$")  # or an abbreviation such as `e.g.`
_WORD = re.compile(r"(\w+)\.\s+$")
_ABBREVIATIONS: dict[Language, frozenset[str]] = {
    "en": frozenset(
        "Mr Mrs Ms Dr Prof St Mt Messrs Rev Hon Gen Col Maj Capt Lt Sgt Sen Rep Gov Jr Sr Fig fig Figs figs Vol vol No "
        "no Nos nos vs cf approx ca al Co Bros Inc Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Ave Rd pp ed eds "
        "Eq eq Ch ch Op op".split()
    ),
    "pl": frozenset(
        "prof hab inż mgr lek med dr doc red płk ppłk gen kpt por ppor mjr plut ks św bł bp kard ul al pl pkt ust art "
        "rys tab str zob por np tj tzn tzw dn nr im wg ok cyt ang niem wł hiszp ros pol ww jw cd cz roz tys mln mld "
        "pseud zm ur woj pow gm ob tow oo śp hr".split()
    ),
}


def parts(paragraph: str, language: Language) -> Iterator[str]:
    """Yield the parts, with the spaces after them. Together they are the paragraph."""
    begin = 0
    for found in _END.finditer(paragraph):
        part = paragraph[begin : found.end()]
        word = _WORD.search(part)
        name = word[1] if word else ""
        known = _ABBREVIATIONS[language]
        if not _INITIAL.search(part) and name not in known and not (language == "pl" and name.lower() in known):
            yield part
            begin = found.end()
    if begin < len(paragraph):
        yield paragraph[begin:]
