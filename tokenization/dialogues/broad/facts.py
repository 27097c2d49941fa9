"""Draw the facts of a conversation: attributes of the user or of somebody else, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tokenization.dialogues.broad.book import Attribute, Relation, Schema
from tokenization.dialogues.broad.material import Material
from tokenization.dialogues.broad.value_splits import draw_value, listed_values, shortest
from tokenization.dialogues.value_lists import Value
from tokenization.dialogues.values import words
from tokenization.records import Language, Split

# shares of conversations in which all facts have one kind of value, are one attribute of several persons, are one
# schema about several words, are several schemas about one word
ALIKE, DENSE, ONE_SCHEMA, ONE_WORD = 0.08, 0.1, 0.34, 0.1
OPEN, OPEN_IN_PLAIN = 0.45, 0.6  # shares of the facts in other conversations that come from a schema
OF_PERSONS = 0.3  # share of the facts in other conversations that belong to somebody else
COMMON = 0.4  # share of both of these that is drawn among the common attributes alone
_DRAWS = 30
_PARTNERS = frozenset(
    "wife husband girlfriend boyfriend fiancé fiancée partner ex-wife ex-husband żona mąż dziewczyna chłopak "
    "narzeczona narzeczony".split()
)


@dataclass
class Fact:
    """One fact. `owner` is None for the user. `values` are those told so far, the newest last, in turn `stated`.
    `quote` is the sentence or clause that told it last, empty if an answer cannot quote it."""

    attribute: Attribute
    owner: Relation | None = None
    values: list[Value] = field(default_factory=list)
    stated: int = 0
    quote: str = ""
    retracted: bool = False
    told_of_another: bool = False

    @property
    def known(self) -> bool:
        return bool(self.values) and not self.retracted

    def named(self, by_user: bool) -> dict[str, str]:
        """Return the placeholders for the owner and their texts, for a sentence of the user or of the assistant."""
        if self.owner is None:
            return {}
        return dict(self.owner.by_user if by_user else self.owner.by_assistant)


class FactDrawer:
    """Draws different facts for one conversation, and values that do not contain each other."""

    def __init__(
        self, language: Language, split: Split, gender: str, material: Material, rng: Random, open_share: float
    ) -> None:
        self.language, self.split, self.gender, self.material, self.rng = language, split, gender, material, rng
        self.open_share = open_share
        partners = [relation.word for relation in material.relations if relation.word in _PARTNERS]
        kept = rng.choice(partners) if partners else ""
        self.relations = [one for one in material.relations if one.word not in _PARTNERS or one.word == kept]
        self.used: set[tuple[str, str]] = set()
        self.said: list[str] = []
        self.about: set[str] = set()

    def draw(self, count: int) -> list[Fact]:
        """Draw `count` facts in random order."""
        rng, style = self.rng, self.rng.random()
        facts: list[Fact] = []
        if style < ALIKE and self.material.by_kind:
            alike = self.material.by_kind[rng.choice(tuple(self.material.by_kind))]
            facts = [fact for attribute in rng.sample(alike, min(count, len(alike))) if (fact := self._new(attribute))]
        elif style < ALIKE + DENSE:
            attribute = rng.choice(self.material.person_attributes)
            most = min(count, len(self.relations))
            if few := len(listed_values(self.language, attribute.kind, self.split)):
                most = min(most, few // 3)
            facts = [fact for owner in rng.sample(self.relations, most) if (fact := self._new(attribute, owner))]
        elif style < ALIKE + DENSE + ONE_SCHEMA:
            schema = rng.choice(self.material.schemas)
            about = self.material.open_words[schema.about]
            drawn = rng.sample(about, min(count, len(about)))
            facts = [fact for word in drawn if (fact := self._of_word(schema, word))]
        elif style < ALIKE + DENSE + ONE_SCHEMA + ONE_WORD and self.material.by_about:
            about = rng.choice(tuple(self.material.by_about))
            word = rng.choice(self.material.open_words[about])
            alike = self.material.by_about[about]
            drawn = rng.sample(alike, min(count, len(alike)))
            facts = [fact for one in drawn if (fact := self._of_word(one, word))]
        while len(facts) < count:
            if rng.random() < self.open_share:
                schema = rng.choice(self.material.schemas)
                fact = self._of_word(schema, rng.choice(self.material.open_words[schema.about]))
                facts += [fact] if fact else []
                continue
            of_person = rng.random() < OF_PERSONS
            attribute = self._any(self.material.person_attributes if of_person else self.material.attributes)
            fact = self._new(attribute, rng.choice(self.relations) if of_person else None)
            facts += [fact] if fact else []
        rng.shuffle(facts)
        return facts

    def of_another(self, fact: Fact) -> Fact | None:
        """Return the same kind of fact about somebody else, if the phrasebook has sentences for it."""
        name = fact.attribute.name
        alike = [attribute for attribute in self.material.person_attributes if attribute.name == name]
        if not alike:
            return None
        return self._new(alike[0], self.rng.choice(self.relations))

    def value(self, fact: Fact) -> Value | None:
        """Draw a new value for a fact. It does not contain a value told before, and is not contained in one. Return
        None if there are too few values."""
        for _ in range(_DRAWS):
            value = draw_value(self.language, fact.attribute.kind, self.split, self.rng, self._gender(fact))
            text = f" {' '.join(words(shortest(value)))} "
            if not any(text in other or other in text for other in self.said):
                self.said.append(text)
                return value
        return None

    def _gender(self, fact: Fact) -> str:
        """Return the gender of the person whom a name belongs to: "m", "f", or "" if it is not known."""
        told = {"f": "f", "m": "m", "ma": "m"}.get(fact.attribute.gender, "")
        if told or fact.attribute.kind == "full_name":
            return told
        if fact.owner is not None:
            return fact.owner.gender[:1] if fact.attribute.kind == "surname" else ""
        if fact.attribute.word:
            return ""
        return self.gender if fact.attribute.kind == "first_name" else ""

    def _of_word(self, schema: Schema, word: str) -> Fact | None:
        """Return a fact of a schema, or None if its word contains a word or value used before, or is part of one."""
        attribute = schema.of(word)
        text = f" {' '.join(words(attribute.word))} "
        if attribute.word not in self.about and any(text in other or other in text for other in self.said):
            return None
        self.about.add(attribute.word)
        self.said.append(text)
        return self._new(attribute)

    def _any(self, attributes: Sequence[Attribute]) -> Attribute:
        """Draw an attribute. People speak of some more often than of others."""
        common = [attribute for attribute in attributes if attribute.common]
        return self.rng.choice(common if common and self.rng.random() < COMMON else attributes)

    def _new(self, attribute: Attribute, owner: Relation | None = None) -> Fact | None:
        key = (attribute.name, owner.word if owner else "")
        if key in self.used:
            return None
        self.used.add(key)
        return Fact(attribute, owner)


def said_forms(values: Iterable[Value]) -> list[str]:
    """Return for each value the shortest form that sentences use, for instance without an article."""
    return [short if (short := shortest(value)) in value[0] else value[0] for value in values]
