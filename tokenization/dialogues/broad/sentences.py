"""How sentences of the phrasebook are put together: what goes into them, before them and behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tokenization.records import Language

AS_WRITTEN = ("email", "username", "website", "password_words")  # no capital, even where a sentence begins with them
# sentences that begin with one of these need no opener before them
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
_END = (".", "!", "?", "…")


def fill(sentence: str, values: Mapping[str, str], *, inside: bool = False, as_written: bool = False) -> str:
    """A sentence with its placeholders filled. It begins with a capital if a placeholder stands first, unless it goes
    on `inside` another; a sentence inside another loses its capital."""
    starts_with_value = sentence.startswith("{")
    if inside and not starts_with_value:
        sentence = lower(sentence)
    for name, value in values.items():
        sentence = sentence.replace(f"{{{name}}}", value)
    if starts_with_value and not inside and not as_written:
        return sentence[0].upper() + sentence[1:]
    return sentence


def lower(sentence: str) -> str:
    """Without the capital of its first word, where that is none of a name."""
    if _ALWAYS_CAPITAL.match(sentence):
        return sentence
    return sentence[0].lower() + sentence[1:]


def takes_opener(sentence: str, opener: str, language: Language) -> bool:
    """Whether a sentence can follow an opener."""
    first = re.split(r"[\s,:;.]", sentence, maxsplit=1)[0].lower()
    if first in _OPENED[language]:
        return False
    return not opener.endswith(" that") or bool(_PLAIN_START.match(sentence))


def closed(sentence: str) -> str:
    """With a full stop, if it ends without any mark."""
    return sentence if sentence.endswith(_END) else f"{sentence}."


def joined(pattern: str, first: str, second: str) -> str | None:
    """Two sentences, the second already as it stands inside another, in one; None where one of them cannot be."""
    bare = [sentence.removesuffix(".") for sentence in (first, second)]
    if any(re.search(r"[.!?…]", sentence) for sentence in bare):
        return None
    return pattern.replace("{a}", bare[0]).replace("{b}", bare[1])
