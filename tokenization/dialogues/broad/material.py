"""Divide the phrasebook among the splits. Validation and test share no attribute, sentence or value with training.

An attribute or schema is in one split with all its sentences. One with the same name in both languages is in the same
split in both, unless one language has too few values for it. Validation and test leave out statements, questions and
changes whose pattern training has. A pattern is a sentence with a gap for each placeholder. Small talk and questions
are divided by exchange, phrases and the words of schemas one by one, and values as in `value_splits`. Attributes whose
kind has too few values are only in training. So are the attributes that the template generator asks about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tokenization.dialogues.broad.book import Attribute, Book, Exchange, Relation, Schema, load
from tokenization.dialogues.broad.value_splits import TOO_FEW_VALUES, is_listed, listed_values
from tokenization.hashing import stable_hash
from tokenization.records import Language, Split

# the attributes that the template generator asks about, by their names in the phrasebook
OF_TEMPLATES = frozenset(
    "own_first_name own_surname first_name surname best_friend locker_code dog_name cat_name first_pet dog cat own_car "
    "own_vehicle team_meeting home_address favourite_dish holiday_country dream_country vacation_start laptop_password "
    "wifi_password streaming_password birthday birth_city hometown".split()
)
# the same attribute under two names: both go into the split of the second
SAME = {
    "instrument": "instrument_of_person",
    "person_owes_me": "debt",
    "where_is_big_thing": "where_is_thing",
    "colour_of_m": "colour_of_f",
    "queue_ticket": "office_queue_number",
    "flea_market_buy": "flea_market_find",
    "tv_child_lock": "tv_parental_pin",
    "roadworks_detour": "detour_length",
    "plant_bad_for_cat": "plant_chewed_by_cat",
    "stairs_count": "stairs_to_flat",
    "speeding_ticket": "speeding_fine",
    "film_slept_through": "fell_asleep_film",
    "daughters_boyfriend": "daughter_boyfriend",
    "dietitian_forbidden_food": "doctors_forbidden_food",
    "great_grandfather_job": "great_gran_trade",
    "blocking_vehicle": "driveway_blocker",
    "tow_truck_phone": "breakdown_phone",
    "careers_test_job": "careers_adviser_suggestion",
}
LEAST_VALUES = 5  # of the list of a schema in validation or test
_DRAW = 34  # chosen from several draws, as it gives the test split many kinds of values in both languages
# past tense and adjectives show the gender of the speaker: a woman, a man
_FEMININE = re.compile(r"\w(?:łam|łaś|łabym|łabyś)\b|\bpowinnam\b|\bjestem (?:\w+ )?\w+[dhkmnrtw]a\b|\bsama\b", re.I)
_MASCULINE = re.compile(r"\w(?:łem|łeś|łbym|łbyś)\b|\bpowinienem\b|\bjestem (?:\w+ )?\w+[dhkmnrtwg][yi]\b", re.I)
_PLACEHOLDER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Material:
    """The phrases for conversations of one split, in one language, for a user of one gender ("" in English)."""

    attributes: tuple[Attribute, ...]
    schemas: tuple[Schema, ...]
    by_about: dict[str, tuple[Schema, ...]]
    open_words: dict[str, tuple[str, ...]]
    person_attributes: tuple[Attribute, ...]
    by_kind: dict[str, tuple[Attribute, ...]]
    relations: tuple[Relation, ...]
    greetings: tuple[Exchange, ...]
    small_talk: tuple[Exchange, ...]
    questions: tuple[Exchange, ...]
    phrases: dict[str, tuple[str, ...]]


@cache
def material(language: Language, split: Split, gender: str = "") -> Material:
    """Return the material of a split for a user of this gender ("m", "f"; "" if the language does not show it)."""
    book = load(language)
    trained = frozenset() if split == "train" else _patterns_of_training(language)
    attributes = _attributes(book.attributes, split, gender, trained)
    schemas = tuple(
        replace(schema, attribute=kept[0])
        for schema in book.schemas
        if (kept := _attributes([schema.attribute], split, gender, trained, split_of_schema(schema, language)))
    )
    return Material(
        attributes=attributes,
        schemas=schemas,
        by_about={
            about: alike
            for about in sorted({schema.about for schema in schemas})
            if len(alike := tuple(schema for schema in schemas if schema.about == about)) > 1
        },
        open_words={
            name: tuple(word for word in texts if split_of_word(word) == split)
            for name, texts in book.open_words.items()
        },
        person_attributes=_attributes(book.person_attributes, split, gender, trained),
        by_kind={
            kind: alike
            for kind in sorted({attribute.kind for attribute in attributes})
            if len(alike := tuple(attribute for attribute in attributes if attribute.kind == kind)) > 1
        },
        relations=book.relations,
        greetings=_exchanges([one for one in book.small_talk if one.greeting], split, gender),
        small_talk=_exchanges([one for one in book.small_talk if not one.greeting], split, gender),
        questions=_exchanges(book.questions, split, gender),
        phrases=_phrases(book, split, gender),
    )


def split_of_attribute(attribute: Attribute) -> Split:
    """Return the split of an attribute. The splits have about 80, 8 and 12 % of all attribute names."""
    if attribute.name in OF_TEMPLATES or attribute.kind in TOO_FEW_VALUES:
        return "train"
    share = stable_hash(f"broad/attribute{_DRAW}/{SAME.get(attribute.name, attribute.name)}") % 25
    return "train" if share < 20 else "validation" if share < 22 else "test"


def pattern(sentence: str) -> str:
    """Return the words of a sentence, with "_" for each placeholder."""
    return " ".join(re.findall(r"\w+", _PLACEHOLDER.sub(" _ ", sentence).casefold()))


@cache
def _patterns_of_training(language: Language) -> frozenset[str]:
    book = load(language)
    trained = [one for one in book.attributes + book.person_attributes if split_of_attribute(one) == "train"]
    trained += [schema.attribute for schema in book.schemas if split_of_schema(schema, language) == "train"]
    return frozenset(pattern(text) for one in trained for text in one.tell + one.ask + one.change)


def split_of_schema(schema: Schema, language: Language) -> Split:
    """Return the split of a schema. One whose list has too few values for its split is in training."""
    attribute = schema.attribute
    split = split_of_attribute(attribute)
    enough = len(listed_values(language, attribute.kind, split)) >= LEAST_VALUES
    return split if enough or not is_listed(language, attribute.kind) else "train"


def split_of_word(word: str) -> Split:
    """Return the split of a word that a schema is about. The splits have about 80, 10 and 10 % of all words."""
    share = stable_hash(f"broad/word/{word.split('|')[0]}") % 10
    return "train" if share < 8 else "validation" if share == 8 else "test"


def split_of_texts(texts: Iterable[str], least: int) -> dict[str, Split]:
    """Divide a list of texts. Validation and test get a tenth each, but at least `least` texts each."""
    order = sorted(texts, key=lambda text: stable_hash(f"broad/{text}"))
    few = max(least, len(order) // 10)
    return {text: "test" if n < few else "validation" if n < 2 * few else "train" for n, text in enumerate(order)}


def _attributes(
    attributes: Iterable[Attribute], split: Split, gender: str, trained: frozenset[str], belongs: Split | None = None
) -> tuple[Attribute, ...]:
    """Return the attributes of a split, which is that of their names unless `belongs` gives another, without sentences
    of the patterns `trained`."""

    def own(sentences: tuple[str, ...]) -> tuple[str, ...]:
        return _said_by(tuple(text for text in sentences if pattern(text) not in trained), gender)

    found = []
    for attribute in attributes:
        if (belongs or split_of_attribute(attribute)) == split:
            said = replace(
                attribute,
                tell=own(attribute.tell),
                ask=own(attribute.ask),
                answer=_said_by(attribute.answer, gender),
                change=own(attribute.change),
            )
            if said.tell and said.ask and said.answer:
                found.append(said)
    return tuple(found)


def _exchanges(exchanges: Sequence[Exchange], split: Split, gender: str) -> tuple[Exchange, ...]:
    belongs = split_of_texts((one.user[0] for one in exchanges), least=1)
    found = []
    for exchange in exchanges:
        if belongs[exchange.user[0]] == split:
            user, reply = _said_by(exchange.user, gender), _said_by(exchange.reply, gender)
            if user and reply:
                found.append(replace(exchange, user=user, reply=reply))
    return tuple(found)


def _phrases(book: Book, split: Split, gender: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, texts in book.phrases.items():
        belongs = split_of_texts(texts, least=3)
        found[name] = _said_by(tuple(text for text in texts if belongs[text] == split), gender)
    return found


def shows_other_gender(sentence: str, gender: str) -> bool:
    """Say whether a sentence shows that its speaker has the other gender."""
    other = {"m": _FEMININE, "f": _MASCULINE}.get(gender)
    return bool(other and other.search(sentence))


def _said_by(sentences: tuple[str, ...], gender: str) -> tuple[str, ...]:
    return tuple(sentence for sentence in sentences if not shows_other_gender(sentence, gender))
