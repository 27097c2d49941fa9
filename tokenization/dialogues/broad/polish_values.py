"""Make Polish values. All are in the nominative, with adjectives that agree."""

from __future__ import annotations

from random import Random

from tokenization.dialogues.broad.book import load
from tokenization.dialogues.broad.value_maker import ValueMaker, decimal, one_of, plain, values
from tokenization.dialogues.value_lists import Value

LISTED = {
    "country": "countries", "language": "languages", "food": "foods", "plant": "plants", "sport": "sports",
    "subject": "subjects", "hobby": "hobbies", "month": "months", "weekday": "weekdays",
    "job": "jobs", "instrument": "instruments",
}  # fmt: skip
# counts start at 2, so no singular is needed: the form after 2 to 4, and the form after other numbers
UNITS = {
    "minutes": ("minuty", "minut"), "hours": ("godziny", "godzin"), "days": ("dni", "dni"),
    "weeks": ("tygodnie", "tygodni"), "months": ("miesiące", "miesięcy"),
}  # fmt: skip
MOST = {"minutes": 120, "hours": 30, "days": 50, "weeks": 40, "months": 30}
FEMININE_SURNAMES = (("ski", "ska"), ("cki", "cka"), ("dzki", "dzka"), ("ny", "na"))


class PolishValues(ValueMaker):
    """Makes values from `phrasebook/pl/values.toml`, with the endings that they need."""

    def __init__(self) -> None:
        book = load("pl")
        words = book.words
        super().__init__(book, {kind: values(words[name]) for kind, name in LISTED.items()})
        inflected = tuple(ending for ending, _ in FEMININE_SURNAMES)
        self.fixed_surnames = tuple(name for name in words["surnames"] if not name.endswith(inflected))

    def _described(self, rng: Random, adjectives: str, nouns: str, gender: str, bare: float = 0.0) -> str:
        """Draw a noun from a list with an adjective that agrees. A share `bare` has no adjective."""
        noun = self.pick(rng, f"{nouns}_{gender}")
        return noun if rng.random() < bare else f"{agreeing(self.pick(rng, adjectives), gender)} {noun}"

    def site(self, rng: Random) -> str:
        return f"{plain(self.invent(rng))}.{rng.choice(('pl', 'pl', 'eu', 'com.pl', 'net'))}"

    def surname(self, rng: Random, gender: str) -> Value:
        if not gender:  # the gender is not known: take a surname with a single form
            return (rng.choice(self.fixed_surnames) if rng.random() < 0.7 else self.invent(rng),)
        invented = self.invent(rng) + rng.choice(("ski", "wicz", "czyk"))
        name = self.pick(rng, "surnames") if rng.random() < 0.7 else invented
        for masculine, feminine in FEMININE_SURNAMES if gender == "f" else ():
            if name.endswith(masculine):
                return (name.removesuffix(masculine) + feminine,)
        return (name,)

    def full_name(self, rng: Random, gender: str) -> Value:
        gender = gender or rng.choice("mf")
        return (f"{self.pick(rng, {'m': 'male', 'f': 'female'}[gender])} {self.surname(rng, gender)[0]}",)

    def city(self, rng: Random) -> Value:
        if rng.random() < 0.6:
            return (self.pick(rng, "cities"),)
        middle = self.pick(rng, "middle_syllables") if rng.random() < 0.4 else ""
        return (self.pick(rng, "first_syllables").capitalize() + middle + self.pick(rng, "town_ends"),)

    def street_address(self, rng: Random) -> Value:
        street = f"{self.pick(rng, 'streets')} {rng.randint(1, 180)}"
        bare = street if rng.random() < 0.6 else f"{street} m. {rng.randint(1, 60)}"
        return (bare,) if rng.random() < 0.5 else (f"ul. {bare}", bare)

    def animal(self, rng: Random) -> Value:
        return (self._described(rng, "animal_adjectives", "animals", rng.choice("mmf"), 0.5),)

    def material(self, rng: Random) -> Value:
        return (self._described(rng, "material_adjectives", "materials", rng.choice("mmf"), 0.5),)

    def fabric(self, rng: Random) -> Value:
        return (self._described(rng, "fabric_adjectives", "fabrics", rng.choice("mmf"), 0.5),)

    def object(self, rng: Random) -> Value:
        return (self._described(rng, "thing_adjectives", "things", rng.choice("mmffn")),)

    def vehicle(self, rng: Random) -> Value:
        return (self._described(rng, "vehicle_adjectives", "vehicles", rng.choice("mmf")),)

    def colour(self, rng: Random) -> Value:
        if rng.random() < 0.7:
            return (self.pick(rng, "colours"),)
        return (self.pick(rng, "shades") + self.pick(rng, "plain_colours"),)

    def drink(self, rng: Random) -> Value:
        if rng.random() < 0.4:
            return (self.pick(rng, "drinks"),)
        return (f"{self.pick(rng, 'drink_forms')} {self.pick(rng, 'drink_fruits')}",)

    def dish(self, rng: Random) -> Value:
        return (f"{self.pick(rng, 'dishes')} {self.pick(rng, 'dish_forms')}",)

    def book_title(self, rng: Random) -> Value:
        gender = rng.choice("mf")
        adjective, noun = self.pick(rng, "title_adjectives"), self.pick(rng, f"title_{gender}")
        if rng.random() < 0.5:
            return (f"{agreeing(adjective, gender)} {noun}".capitalize(),)
        return (f"{noun.capitalize()} {self.pick(rng, 'title_ends')}",)

    film_title = song_title = book_title

    def band(self, rng: Random) -> Value:
        made_up = f"{self.pick(rng, 'plural_adjectives')} {self.pick(rng, 'plurals')}"
        return (self.invent(rng) if rng.random() < 0.4 else made_up,)

    def team(self, rng: Random) -> Value:
        return (f"{self.pick(rng, 'plurals')} {self.city(rng)[0]}",)

    def company(self, rng: Random) -> Value:
        invented = self.invent(rng)
        if rng.random() < 0.4:
            return (invented,)
        name = rng.choice(self.fixed_surnames) if rng.random() < 0.5 else invented
        return (f"{name} {self.pick(rng, 'company_ends')}",)

    def school(self, rng: Random) -> Value:
        return (f"{self.pick(rng, 'school_ends')} {self.invent(rng)}" if rng.random() < 0.6 else self.invent(rng),)

    def medicine(self, rng: Random) -> Value:
        return (self.invent(rng) + rng.choice(("in", "ol", "ax", "yna", "eks", "il")),)

    def game(self, rng: Random) -> Value:
        return (one_of(rng, self.pick(rng, "games"), self.book_title(rng)[0], self.invent(rng)),)

    def phone(self, rng: Random) -> Value:
        return (f"{rng.randint(500, 899)} {rng.randrange(1000):03} {rng.randrange(1000):03}",)

    def date(self, rng: Random) -> Value:
        return (f"{rng.randint(1, 28)} {self.pick(rng, 'months_genitive')}",)

    def price(self, rng: Random) -> Value:
        return (f"{one_of(rng, rng.randint(3, 99), 10 * rng.randint(10, 99), rng.randint(100, 999))} zł",)

    def duration(self, rng: Random) -> Value:
        return (_count(rng, rng.choice(("minutes", "minutes", "hours"))),)

    def period(self, rng: Random) -> Value:
        return (_count(rng, rng.choice(("days", "weeks", "months"))),)

    def age(self, rng: Random) -> Value:
        (years,) = super().age(rng)
        return (f"{years} {_agreeing_with(int(years), ('lata', 'lat'))}", years)

    def distance(self, rng: Random) -> Value:
        return (f"{decimal(rng, 2, 60, ',')} km" if rng.random() < 0.8 else f"{50 * rng.randint(2, 19)} m",)

    def weight(self, rng: Random) -> Value:
        return (f"{decimal(rng, 2, 130, ',')} {rng.choice(('kg', 'kilo'))}",)


def agreeing(adjective: str, gender: str) -> str:
    """Return the nominative of a masculine adjective in the given gender ("m", "f" or "n")."""
    if gender == "m":
        return adjective
    feminine = gender == "f"
    if adjective.endswith("y"):
        return adjective[:-1] + ("a" if feminine else "e")
    if adjective.endswith(("ki", "gi")):
        return adjective[:-1] + "a" if feminine else adjective + "e"
    return adjective + ("a" if feminine else "e")  # after a soft consonant: ostatni, ostatnia, ostatnie


def _count(rng: Random, unit: str) -> str:
    count = rng.randint(2, MOST[unit])
    return f"{count} {_agreeing_with(count, UNITS[unit])}"


def _agreeing_with(count: int, forms: tuple[str, str]) -> str:
    """Return the form of a unit after a number above 1: that after 2 to 4, or that after other numbers."""
    few = count % 10 in (2, 3, 4) and count % 100 // 10 != 1
    return forms[0 if few else 1]
