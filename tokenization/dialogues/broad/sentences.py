"""Fill sentences of the phrasebook, and join them with others."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tokenization.records import Language

AS_WRITTEN = ("email", "username", "website", "password_words")  # these get no capital, even at the start of a sentence
# a sentence that begins with one of these takes no opener
_OPENED: Mapping[Language, frozenset[str]] = {
    "en": frozenset(
        "ah alright also and anyway before btw but by can could did do don't fyi guess heads hello hey hi hm just "
        "listen note now oh ok okay please quick remember right so thanks um wait well would yes your you".split()
    ),
    "pl": frozenset(
        "a ach aha ale cześć czy dobra gdyby hej i jakby jakbyś jeszcze mam miej no notuj ok okej pamiętaj proszę przy "
        "sprawdź słuchaj swoją tak to uwaga wiesz wpisz zanim zanotuj zapamiętaj zapisz śmiej".split()
    ),
}
_PLAIN_START = re.compile(r"(?:My|Our|The|I|I'\w+|We|We'\w+|There|It|In|At|On) |\{")
_ALWAYS_CAPITAL = re.compile(r"I\b|\S+[A-ZĄĆĘŁŃÓŚŹŻ]|[^a-zA-ZąćęłńóśźżĄĆĘŁŃÓŚŹŻ]")
_ARTICLES = frozenset("a an the my our your his her their".split())
_PREPOSITIONS = frozenset(
    "about after at before behind between by for from in into of on to under until with "
    "bez dla do na o od po pod przed przy przez u w we z za ze".split()
)
# words that begin a clause, or need the words around them
_CLAUSES = re.compile(r"\b(?:because|so|and|but|when|that|thanks|city|town|class|bo|gdy|że|któr\w+|jeśli|i)\b")
_CLAUSE_END = re.compile(r"[,;:.!?…]+(?:\s+|$)|\s+[-–—]\s+")
_END = (".", "!", "?", "…")
_MARKS = '"„”'
_QUOTES: Mapping[Language, str] = {"en": "You told me:", "pl": "Twoje słowa:"}


def fill(sentence: str, values: Mapping[str, str], *, inside: bool = False, as_written: bool = False) -> str:
    """Fill the placeholders of a sentence. If it starts with a placeholder, the value gets a capital, unless
    `as_written`. If the sentence goes `inside` another, it starts without a capital."""
    starts_with_value = sentence.startswith("{")
    if inside and not starts_with_value:
        sentence = lower(sentence)
    for name, value in values.items():
        sentence = sentence.replace(f"{{{name}}}", value)
    if starts_with_value and not inside and not as_written:
        return sentence[0].upper() + sentence[1:]
    return sentence


def lower(sentence: str) -> str:
    """Remove the capital of the first word, unless the word always has it."""
    if _ALWAYS_CAPITAL.match(sentence):
        return sentence
    return sentence[0].lower() + sentence[1:]


def takes_opener(sentence: str, opener: str, language: Language) -> bool:
    """Say whether a sentence can follow an opener."""
    first = re.split(r"[\s,:;.]", sentence, maxsplit=1)[0].lower()
    if first in _OPENED[language]:
        return False
    return not opener.endswith(" that") or bool(_PLAIN_START.match(sentence))


def without_verb(sentence: str, word: str) -> str:
    """Leave out what stands between a word at the start and the value at the end, but for a preposition: of `The drill
    is due on {value}.` stays `the drill on {value}`. Return nothing if the sentence is built otherwise, or has more
    than one clause."""
    found = re.fullmatch(rf"(The )?{re.escape(word)} ([^,:;]*?)([^\s,:;]+) \{{value\}}\.?", sentence, re.IGNORECASE)
    if not found or found[3] in _ARTICLES or _CLAUSES.search(f"{found[2]}{found[3]}"):
        return ""
    article, preposition = found[1] or "", f"{found[3]} " if found[3] in _PREPOSITIONS else ""
    return f"{article.lower()}{word} {preposition}{{value}}"


def closed(sentence: str) -> str:
    """Add a full stop to a sentence that ends without a mark. A mark may stand before a closing quotation mark."""
    return sentence if sentence.rstrip(_MARKS).endswith(_END) else f"{sentence}."


def quotable(sentence: str) -> str:
    """Return the sentence, or nothing if it is a question."""
    return "" if sentence.endswith("?") else sentence


def as_said(text: str, sentence: str) -> str:
    """Return a sentence of a text with the blank before it, if it has one there."""
    words = sentence.removesuffix(".")
    inside = not text.startswith(words) and f" {words}" in text
    return f" {sentence}" if sentence and inside else sentence


def clause(text: str, value: str, old: str) -> str:
    """Return the clause of a text that holds a value, or the value alone if the clause holds the `old` value too."""
    start = text.casefold().rindex(value.casefold())
    end = start + len(value)
    marked = re.sub(re.escape(old), lambda found: "_" * len(found[0]), text, flags=re.IGNORECASE)
    before = [mark.end() for mark in _CLAUSE_END.finditer(marked, 0, start)]
    after = _CLAUSE_END.search(marked, end)
    left, right = before[-1] if before else 0, after.start() if after else len(text)
    if "_" * len(old) in marked[left:right]:
        return text[start:end]
    return text[left:right]


def quoted(sentence: str, language: Language) -> str:
    """Return an answer that quotes a sentence of the user, on a line of its own. Without quotation marks its tokens are
    those of the user, if the sentence has an end mark, and begins the turn or keeps its blank (`as_said`)."""
    return f"{_QUOTES[language]}\n{closed(sentence)}"


def joint(pattern: str) -> str:
    """Return the words of a pattern that joins {a} and {b} which belong to the clause of {b}: ", and " -> "and "."""
    between = pattern[pattern.index("{a}") + 3 : pattern.index("{b}")]
    return _CLAUSE_END.split(between)[-1].lstrip()


def joined(pattern: str, first: str, second: str) -> str | None:
    """Join two sentences into one, or return None if one contains an end mark inside. The second starts without a
    capital already."""
    bare = [sentence.removesuffix(".") for sentence in (first, second)]
    if any(re.search(r"[.!?…]", sentence) for sentence in bare):
        return None
    return pattern.replace("{a}", bare[0]).replace("{b}", bare[1])
