"""Make the values that look alike in every language. Each language adds the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from tokenization.dialogues.broad.book import Book, placeholders
from tokenization.dialogues.value_lists import Value

Choice = TypeVar("Choice")
NAMES = ("first_name", "surname", "full_name")  # kinds that depend on a gender


class ValueMaker:
    """Makes the values of one language. `listed` holds all values of some kinds. For every other kind, a method with
    its name draws a value."""

    def __init__(self, book: Book, listed: Mapping[str, tuple[Value, ...]]) -> None:
        words = book.words
        self.words = words
        self.listed = {**listed, **{f"open/{name}": _nominatives(texts) for name, texts in book.open_words.items()}}
        self.composed = {f"open/{name}": patterns for name, patterns in book.composed.items()}
        self.open_words = book.open_words

    def draw(self, kind: str, rng: Random, gender: str) -> Value:
        """Draw a value of any split. Its first form is the one that sentences use."""
        if kind in self.listed:
            return rng.choice(self.listed[kind])
        if kind in self.composed:
            return _forms(self._compose(rng, kind))
        make: Callable[..., Value] = getattr(self, kind)
        return make(rng, gender) if kind in NAMES else make(rng)

    def _compose(self, rng: Random, kind: str) -> str:
        text = rng.choice(self.composed[kind])
        for name in placeholders(text):
            composed = f"open/{name}"
            word = self._compose(rng, composed) if composed in self.composed else rng.choice(self.open_words[name])
            text = text.replace(f"{{{name}}}", word.split("|")[0], 1)
        return text

    def pick(self, rng: Random, name: str) -> str:
        return rng.choice(self.words[name])

    def invent(self, rng: Random) -> str:
        """Invent a word of two or three syllables, with a capital."""
        middle = self.pick(rng, "middle_syllables") if rng.random() < 0.5 else ""
        return (self.pick(rng, "first_syllables") + middle + self.pick(rng, "last_syllables")).capitalize()

    def login(self, rng: Random) -> str:
        """Make a login from a person's name, in plain letters."""
        first, last = self.pick(rng, rng.choice(("female", "male"))), self.pick(rng, "surnames")
        joined = one_of(rng, f"{first}.{last}", f"{first[0]}{last}", f"{last}{rng.randrange(100)}", self.invent(rng))
        return plain(joined)

    def site(self, rng: Random) -> str:
        raise NotImplementedError

    def first_name(self, rng: Random, gender: str) -> Value:
        if rng.random() < 0.25:
            return (self.invent(rng),)
        return (self.pick(rng, {"m": "male", "f": "female"}.get(gender) or rng.choice(("male", "female"))),)

    def brand(self, rng: Random) -> Value:
        return (self.invent(rng),)

    invented_word = brand

    def pet_name(self, rng: Random) -> Value:
        return (self.pick(rng, "pets") if rng.random() < 0.5 else self.invent(rng),)

    def password_words(self, rng: Random) -> Value:
        return (rng.choice((" ", "-")).join(rng.sample(self.words["password_words"], rng.choice((2, 2, 3)))),)

    def username(self, rng: Random) -> Value:
        return (self.login(rng),)

    def website(self, rng: Random) -> Value:
        return (self.site(rng),)

    def email(self, rng: Random) -> Value:
        return (f"{self.login(rng)}@{self.site(rng)}",)

    def place_in(self, rng: Random) -> Value:
        return (f"{self.pick(rng, 'places')} {self.pick(rng, 'rooms')}",)

    def code(self, rng: Random) -> Value:
        digits = rng.choice((4, 4, 4, 5, 6))
        text = f"{rng.randrange(10**digits):0{digits}}"
        return (text if rng.random() < 0.85 else rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") + text[1:],)

    def number(self, rng: Random) -> Value:
        return (str(one_of(rng, rng.randint(2, 60), rng.randint(2, 400))),)

    def small_number(self, rng: Random) -> Value:
        return (str(rng.randint(2, 9)),)

    def age(self, rng: Random) -> Value:
        return (str(rng.randint(16, 95)),)

    def year(self, rng: Random) -> Value:
        return (str(rng.randint(1930, 2045)),)

    def size(self, rng: Random) -> Value:
        return (str(rng.randint(5, 60)) + rng.choice(("", "", ".5")),)

    def flight(self, rng: Random) -> Value:
        return (f"{''.join(rng.sample('ABDEFHKLNORSTUVW', 2))} {rng.randint(100, 9999)}",)

    def room(self, rng: Random) -> Value:
        return (one_of(rng, str(rng.randint(2, 740)), f"{rng.choice('ABCDEF')}{rng.randint(1, 99)}"),)

    def time(self, rng: Random) -> Value:
        return (f"{rng.randrange(24)}:{minutes(rng)}",)


def _nominatives(words: Sequence[str]) -> tuple[Value, ...]:
    return tuple(_forms(word.split("|")[0]) for word in words)


def _forms(text: str) -> Value:
    """Return the forms of an English value: as it is, and without its article."""
    bare = text.split(" ", 1)[1] if text.startswith(("a ", "an ", "the ")) else text
    return (text,) if bare == text else (text, bare)


def values(words: Sequence[str]) -> tuple[Value, ...]:
    """Make values of words with one form each."""
    return tuple((word,) for word in words)


def one_of(rng: Random, *choices: Choice) -> Choice:
    """Draw one of the arguments, each with equal chance."""
    return rng.choice(choices)


def minutes(rng: Random) -> str:
    """Draw the minutes of a time of day. Multiples of five are more frequent."""
    return f"{5 * rng.randrange(12) if rng.random() < 0.7 else rng.randrange(60):02}"


def decimal(rng: Random, low: int, high: int, point: str) -> str:
    """Draw a number. One in three has a digit after the point."""
    whole = str(rng.randint(low, high))
    return whole if rng.random() < 0.67 else f"{whole}{point}{rng.randint(1, 9)}"


def plain(text: str) -> str:
    """Return a text in small letters without accents, as in addresses."""
    return text.lower().translate(_PLAIN)


_PLAIN = str.maketrans("ąćęłńóśźżéèöüäç", "acelnoszzeeouac", " '’")
