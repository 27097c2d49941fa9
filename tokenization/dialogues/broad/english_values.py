"""Make English values."""

from __future__ import annotations

import re
from random import Random

from tokenization.dialogues.broad.book import load
from tokenization.dialogues.broad.value_maker import ValueMaker, decimal, minutes, one_of, values
from tokenization.dialogues.value_lists import Value

LISTED = {
    "country": "countries", "language": "languages", "food": "foods", "plant": "plants", "sport": "sports",
    "subject": "subjects", "hobby": "hobbies", "month": "months", "weekday": "weekdays",
}  # fmt: skip
_SOUNDS_AS_VOWEL = re.compile(
    r"(?!us[aeu]|uni(?!n|m)|uku|ut[ei]|eu|ewe|one\b|once\b)[aeiou]|hour|honest|heir", re.IGNORECASE
)


class EnglishValues(ValueMaker):
    """Makes values from `phrasebook/en/values.toml`, with articles where sentences need them."""

    def __init__(self) -> None:
        book = load("en")
        words = book.words
        listed = {kind: values(words[name]) for kind, name in LISTED.items()}
        listed["job"] = tuple(map(_with_article, words["jobs"]))
        listed["instrument"] = tuple((f"the {name}", name) for name in words["instruments"])
        super().__init__(book, listed)

    def _described(self, rng: Random, adjectives: str, nouns: str) -> str:
        """Draw a noun from a list, half the time with an adjective."""
        noun = self.pick(rng, nouns)
        return noun if rng.random() < 0.5 else f"{self.pick(rng, adjectives)} {noun}"

    def site(self, rng: Random) -> str:
        return f"{self.invent(rng).lower()}.{rng.choice(('com', 'org', 'net', 'co.uk'))}"

    def surname(self, rng: Random, gender: str) -> Value:
        if rng.random() < 0.7:
            return (self.pick(rng, "surnames"),)
        return (self.invent(rng) + rng.choice(("son", "ley", "er", "man")),)

    def full_name(self, rng: Random, gender: str) -> Value:
        return (f"{self.first_name(rng, gender)[0]} {self.surname(rng, gender)[0]}",)

    def city(self, rng: Random) -> Value:
        if rng.random() < 0.6:
            return (self.pick(rng, "cities"),)
        middle = self.pick(rng, "middle_syllables") if rng.random() < 0.4 else ""
        return (self.pick(rng, "first_syllables").capitalize() + middle + self.pick(rng, "town_ends"),)

    def street_address(self, rng: Random) -> Value:
        return (f"{rng.randint(1, 180)} {self.pick(rng, 'streets')} {self.pick(rng, 'street_ends')}",)

    def animal(self, rng: Random) -> Value:
        return (self._described(rng, "animal_adjectives", "animals"),)

    def object(self, rng: Random) -> Value:
        return _with_article(f"{self.pick(rng, 'thing_adjectives')} {self.pick(rng, 'things')}")

    def vehicle(self, rng: Random) -> Value:
        name = self.pick(rng, rng.choice(("vehicles", "makes")))
        return _with_article(f"{self.pick(rng, 'vehicle_adjectives')} {name}")

    def material(self, rng: Random) -> Value:
        return (self._described(rng, "material_adjectives", "materials"),)

    def fabric(self, rng: Random) -> Value:
        return (self._described(rng, "fabric_adjectives", "fabrics"),)

    def colour(self, rng: Random) -> Value:
        if rng.random() < 0.6:
            return (self.pick(rng, "colours"),)
        return (f"{self.pick(rng, 'shades')} {self.pick(rng, 'plain_colours')}",)

    def drink(self, rng: Random) -> Value:
        if rng.random() < 0.4:
            return (self.pick(rng, "drinks"),)
        return (f"{self.pick(rng, 'drink_fruits')} {self.pick(rng, 'drink_forms')}",)

    def dish(self, rng: Random) -> Value:
        other = f" and {self.pick(rng, 'dishes')}" if rng.random() < 0.4 else ""
        return (f"{self.pick(rng, 'dishes')}{other} {self.pick(rng, 'dish_forms')}",)

    def book_title(self, rng: Random) -> Value:
        adjective, noun = self.pick(rng, "title_adjectives"), self.pick(rng, "title_nouns")
        other = one_of(rng, f"of {self.invent(rng)}", f"and the {self.pick(rng, 'title_nouns')}")
        bare = one_of(rng, f"{adjective} {noun}", f"{noun} {other}")
        return (f"{adjective} {noun}",) if rng.random() < 0.3 else (f"The {bare}", bare)

    film_title = song_title = book_title

    def band(self, rng: Random) -> Value:
        if rng.random() < 0.4:
            return (self.invent(rng),)
        name = f"{self.pick(rng, 'title_adjectives')} {self.pick(rng, 'plurals')}"
        return f"The {name}", name

    def team(self, rng: Random) -> Value:
        return (f"{self.city(rng)[0]} {self.pick(rng, 'plurals')}",)

    def company(self, rng: Random) -> Value:
        first, second = self.pick(rng, "surnames"), self.pick(rng, "surnames")
        ending = self.pick(rng, "company_ends")
        return (one_of(rng, self.invent(rng), f"{first} {ending}", f"{first} and {second}"),)

    def school(self, rng: Random) -> Value:
        invented = self.invent(rng) + rng.choice(("field", "wood", "ford", ""))
        name = one_of(rng, self.pick(rng, "streets"), invented)
        return (f"{name} {self.pick(rng, 'school_ends')}",)

    def medicine(self, rng: Random) -> Value:
        return (self.invent(rng) + rng.choice(("in", "ol", "ax", "ine", "ex", "il")),)

    def game(self, rng: Random) -> Value:
        made_up = f"{self.pick(rng, 'title_adjectives')} {self.pick(rng, 'title_nouns')}"
        return (one_of(rng, self.pick(rng, "games"), made_up, self.invent(rng)),)

    def phone(self, rng: Random) -> Value:
        long = f"07{rng.randrange(10**3):03} {rng.randrange(10**6):06}"
        return (one_of(rng, long, f"{rng.randrange(200, 990)} {rng.randrange(10**4):04}"),)

    def date(self, rng: Random) -> Value:
        day, month = rng.randint(1, 28), self.pick(rng, "months")
        forms = (f"{day} {month}", f"{month} {day}")
        return forms if rng.random() < 0.5 else forms[::-1]

    def time(self, rng: Random) -> Value:
        if rng.random() < 0.6:
            return super().time(rng)
        text = f"{rng.randint(1, 12)}:{minutes(rng)}"
        return f"{text} {rng.choice(('am', 'pm'))}", text

    def price(self, rng: Random) -> Value:
        amount = one_of(rng, rng.randint(3, 99), 10 * rng.randint(10, 99), rng.randint(100, 999))
        return (f"{amount} {rng.choice(('pounds', 'euros', 'dollars'))}",)

    def duration(self, rng: Random) -> Value:
        unit, most = rng.choice((("minutes", 120), ("minutes", 120), ("hours", 30)))
        return (f"{rng.randint(2, most)} {unit}",)

    def period(self, rng: Random) -> Value:
        unit, most = rng.choice((("days", 50), ("weeks", 40), ("months", 30)))
        return (f"{rng.randint(2, most)} {unit}",)

    def distance(self, rng: Random) -> Value:
        if rng.random() < 0.2:
            return (f"{50 * rng.randint(2, 19)} metres",)
        return (f"{decimal(rng, 2, 60, '.')} {rng.choice(('miles', 'kilometres'))}",)

    def weight(self, rng: Random) -> Value:
        return (f"{decimal(rng, 2, 130, '.')} {rng.choice(('kilos', 'pounds'))}",)


def _with_article(text: str) -> Value:
    return f"{'an' if _SOUNDS_AS_VOWEL.match(text) else 'a'} {text}", text
