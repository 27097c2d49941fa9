"""Find vulgar words. Names that look like one are spared: Skurweberg, the typhoon Jebi, the writer Djebar."""

from __future__ import annotations

import re

_PREFIX = "(?:do|na|nad|o|ob|od|po|pod|prze|przy|roz|s|u|w|wy|z|za)?"
_WORDS = re.compile(
    rf"""\b(?:
    {_PREFIX}kurw(?:a|y|o|ę|ą|om|ami|ach|i\w*|ysyn\w*) | kurew\w* | {_PREFIX}pierd(?:[oa]l|ziel)\w* |
    pizd(?:a|y|o|ę|ą|u|zie|om|ami|ach|ziel\w*|usi\w*) |
    {_PREFIX}z?jeb(?:a[ćlłn]\w*|ie\w*|ią\w*|i(?:[moś]|st)\w*|n[ąęi]\w*|ak\w*) |
    cip(?:a|y|ę|ą|k[aięąo]\w*) | ch?uj(?:a|e|u|em|om|ami|ach|ow\w*|ni\w*)? |
    kutas(?:a|y|em|ie|om|ami|ach|ów|iarz\w*)? | dup(?:a|y|o|ę|ą|ie|om|ami|ach|sk\w*) | gówn(?:o|a|em|u|ie\w*|iar\w*) |
    sra[ćł]\w* | {_PREFIX}rucha[ćłn]\w* | cyck(?:i|a|u|ów|ami|ach) |
    (?:mother)?fuck\w* | (?:bull|horse)?shit(?:s|ty)? | cunts? | niggers? | whor(?:e\w*|ing)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# The expression is slow. Whatever it matches contains one of these.
_PARTS = ("kur", "pierd", "pizd", "jeb", "cip", "kutas", "fuck", "shit", "huj", "dup", "gówn", "sra", "rucha", "cyck",
          "cunt", "nigger", "whor")  # fmt: skip
_SENTENCE_END = re.compile(r"(?:^|[.!?:;…])[\s\"'“”„‚‘’«»(*_–—-]*$")


def is_vulgar(paragraph: str) -> bool:
    """Whether a paragraph has a vulgar word. A capitalised one within a sentence is a name."""
    lower = paragraph.lower()
    return any(part in lower for part in _PARTS) and any(
        word[0][0].islower() or word[0].isupper() or _SENTENCE_END.search(paragraph, 0, word.start())
        for word in _WORDS.finditer(paragraph)
    )
