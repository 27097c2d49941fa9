"""Find vulgar words. Names that look like one are spared: Skurweberg, the typhoon Jebi, the writer Djebar. A Polish one
that is capitalised in an English text is a name, too, wherever it stands: the minister Jebali, the village Kutas."""

from __future__ import annotations

import re

from tokenization.records import Language

_PREFIX = "(?:do|na|nad|o|ob|od|po|pod|prze|przy|roz|s|u|w|wy|z|za)?"
_WORDS = re.compile(
    rf"""\b(?:(?P<polish>
    {_PREFIX}kurw(?:a|y|o|ę|ą|om|ami|ach|i\w*|ysyn\w*) | kurew\w* | {_PREFIX}pierd(?:[oa]l|ziel)\w* |
    pizd(?:a|y|o|ę|ą|u|zie|om|ami|ach|ziel\w*|usi\w*) |
    {_PREFIX}z?jeb(?:a[ćlłn]\w*|ie\w*|ią\w*|i(?:[moś]|st)\w*|n[ąęi]\w*|ak\w*) |
    cip(?:a|y|ę|ą|k[aięąo]\w*) | c?huj(?:a|e|u|em|om|ami|ach|ow\w*|ni\w*)? |
    kutas(?:a|y|em|ie|om|ami|ach|ów|iarz\w*)? | dup(?:a|y|o|ę|ą|ie|om|ami|ach|sk\w*) | gówn(?:o|a|em|u|ie\w*|iar\w*) |
    (?:(?:na|o|ob|po|u|wy|za|ze)?sra[ćł]|(?:o|ob|po|u|za)sran)\w* | {_PREFIX}rucha[ćłn]\w* | cyck(?:i|a|u|ów|ami|ach)) |
    \w*fuck\w* | (?:bull|horse|dip|chicken|bat)?shit(?:s|ty|t(?:ed|ing)|(?:head|hole|load|show|storm)s?)? | cunts? |
    (?:ass|arse)holes? | cocksuck\w* | nigg(?:er|a)s? | whor(?:e\w*|ing)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# The expression is slow. Whatever it matches contains one of these.
_PARTS = ("kur", "pierd", "pizd", "jeb", "cip", "kutas", "fuck", "shit", "huj", "dup", "gówn", "sra", "rucha", "cyck",
          "cunt", "nigg", "whor", "asshole", "arsehole", "cocksuck")  # fmt: skip
_JEBALI = re.compile(r"Jebal\w*")
# The points of titles and initials end no sentence.
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mr", "Mrs", "Ms", "[DdŚśSs][rwt]", "[Pp]rof", "ul", "im", r"\w"))
_SENTENCE_END = re.compile(rf"(?:^|[!?:;…]|{_TITLES}\.)[\s\"'“”„‚‘’«»(*_–—-]*$")


def is_vulgar(paragraph: str, language: Language) -> bool:
    """Whether a paragraph of a source in `language` has a vulgar word. Capitalised within a sentence, it is a name."""
    lower = paragraph.lower()
    return any(part in lower for part in _PARTS) and any(
        not _is_name(word, paragraph, language) for word in _WORDS.finditer(paragraph)
    )


def _is_name(word: re.Match[str], paragraph: str, language: Language) -> bool:
    if not word[0][0].isupper() or word[0].isupper():
        return False
    if _JEBALI.fullmatch(word[0]) or (word["polish"] and language == "en"):
        return True
    return not _SENTENCE_END.search(paragraph, 0, word.start())
