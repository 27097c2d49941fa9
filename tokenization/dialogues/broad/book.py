"""Read the phrasebook: attributes and their sentences, open schemas, persons, small talk, questions, phrases, words.

The phrasebook is written by hand. It is beside this module, as a folder of TOML files per language. It is read once per
process and checked. In its sentences `{value}` stands for a value, and `{owner}` (English also `{owners}`, Polish
`{owner_gen}`) for the person to whom an attribute belongs. The sentences of a schema also have a placeholder for the
word that it is about, such as `{thing}` (Polish also `{thing_acc}`, `{thing_gen}`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenization.records import Language

FOLDER = Path(__file__).with_name("phrasebook")
KINDS = frozenset(
    "age animal band book_title brand city code colour company country date dish distance drink duration email fabric "
    "film_title first_name flight food full_name game hobby instrument invented_word job language material medicine "
    "month number object password_words period pet_name phone place_in plant price room school size small_number "
    "song_title sport street_address subject surname team time username vehicle website weekday weight year".split()
)
# the placeholders that every sentence of a list has; if there are several sets, a sentence has one of them
_PHRASES: Mapping[str, tuple[frozenset[str], ...]] = {
    name: tuple(frozenset(one.split()) for one in placeholders)
    for name, placeholders in {
        **dict.fromkeys(("acknowledge", "acknowledge_change", "acknowledge_retract", "refuse"), ("",)),
        **dict.fromkeys(("opener", "opener_statement", "filler", "after", "before_question"), ("",)),
        **dict.fromkeys(("refuse_noun", "retract"), ("noun", "noun_gen", "noun_acc")),
        "acknowledge_value": ("value",),
        "tail": ("",),
        "correction": ("old new",),
        "join": ("a b",),
    }.items()
}
SENTENCES = ("tell", "ask", "answer", "change")  # the lists of an attribute
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OWNERS = ("owner", "owners", "owner_gen")


class PhrasebookError(ValueError):
    """The phrasebook has an error. The message names the file and the entry."""


@dataclass(frozen=True)
class Attribute:
    """One attribute of a person. `noun` holds its forms by placeholder (`noun`; Polish also `noun_gen`, `noun_acc`). If
    the value is a name, `gender` is the gender of its bearer. Attributes of other persons (`of_person`) have no
    `change` sentences. An attribute of a schema has the `word` that it is about, and belongs to nobody. People speak of
    a `common` one more often than of others."""

    name: str
    kind: str
    noun: Mapping[str, str]
    gender: str
    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: tuple[str, ...]
    change: tuple[str, ...] = ()
    of_person: bool = field(default=False, kw_only=True)
    common: bool = field(default=False, kw_only=True)
    word: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Schema:
    """An open attribute. It becomes one attribute for each word of the list `about`. `attribute` has the sentences,
    with a placeholder for the word. Its kind is that of other attributes, or "open/LIST" for a list of the schemas."""

    about: str
    attribute: Attribute

    def of(self, word: str) -> Attribute:
        """Return the attribute for a word of the list. A Polish word is "nominative|accusative|genitive"."""
        forms = word.split("|")
        values = dict(zip((self.about, f"{self.about}_acc", f"{self.about}_gen"), forms, strict=False))
        own = self.attribute

        def filled(sentences: Iterable[str]) -> tuple[str, ...]:
            return tuple(_fill(sentence, values) for sentence in sentences)

        return replace(
            own,
            name=f"{own.name}/{forms[0]}",
            word=forms[0],
            noun={key: _fill(text, values) for key, text in own.noun.items()},
            tell=filled(own.tell),
            ask=filled(own.ask),
            answer=filled(own.answer),
            change=filled(own.change),
        )


@dataclass(frozen=True)
class Relation:
    """A person that the user knows, such as a sister. `by_user` and `by_assistant` say what replaces each placeholder
    in a sentence of the user or of the assistant."""

    word: str
    by_user: Mapping[str, str]
    by_assistant: Mapping[str, str]
    gender: str


@dataclass(frozen=True)
class Exchange:
    """Several wordings of what a user says, and possible replies."""

    user: tuple[str, ...]
    reply: tuple[str, ...]
    greeting: bool = False


@dataclass(frozen=True)
class Book:
    """The phrasebook of one language. `phrases` holds the lists of `phrases.toml` by name, `words` those of
    `values.toml`. `open_words` are the lists of the schemas, and `composed` the patterns of values made of these."""

    attributes: tuple[Attribute, ...]
    person_attributes: tuple[Attribute, ...]
    relations: tuple[Relation, ...]
    small_talk: tuple[Exchange, ...]
    questions: tuple[Exchange, ...]
    phrases: Mapping[str, tuple[str, ...]]
    words: Mapping[str, tuple[str, ...]]
    schemas: tuple[Schema, ...] = ()
    open_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    composed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@cache
def load(language: Language) -> Book:
    """Load the phrasebook of a language. Raises PhrasebookError."""
    return read(FOLDER / language)


def read(folder: Path) -> Book:
    """Read and check the phrasebook in a folder. Raises PhrasebookError."""
    attributes = [
        _attribute(path.name, entry)
        for path in sorted(folder.glob("attributes_*.toml"))
        for entry in read_toml(path)["attribute"]
    ]
    require(bool(attributes), folder.name, "no attributes_*.toml")
    _unique(folder.name, (attribute.name for attribute in attributes))
    relations = read_toml(folder / "relations.toml")
    of_persons = [_attribute("relations.toml", entry, of_person=True) for entry in relations["person_attribute"]]
    _unique("relations.toml", (attribute.name for attribute in of_persons))
    schemas = read_toml(folder / "open.toml")
    _unique("open.toml", (entry["name"] for entry in schemas["schema"]))
    return Book(
        attributes=tuple(attributes),
        person_attributes=tuple(of_persons),
        relations=tuple(map(_relation, relations["relation"])),
        small_talk=_exchanges("small_talk.toml", read_toml(folder / "small_talk.toml")["exchange"], "user", "reply"),
        questions=_exchanges("questions.toml", read_toml(folder / "questions.toml")["question"], "ask", "answer"),
        phrases=_phrases(read_toml(folder / "phrases.toml")),
        words={
            name: tuple(word.strip() for word in words.split(","))
            for name, words in read_toml(folder / "values.toml").items()
        },
        schemas=tuple(_schema(entry, schemas) for entry in schemas["schema"]),
        open_words={name: tuple(words) for name, words in schemas["words"].items()},
        composed={name: tuple(patterns) for name, patterns in schemas["compose"].items()},
    )


def placeholders(sentence: str) -> list[str]:
    """Return the names of the placeholders of a sentence, in order."""
    return _PLACEHOLDER.findall(sentence)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of the phrasebook. Raises PhrasebookError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PhrasebookError(f"{path.name}: {error}") from error


def require(condition: bool, where: str, rule: str) -> None:
    """Raise PhrasebookError for the entry `where` unless the condition holds."""
    if not condition:
        raise PhrasebookError(f"{where}: {rule}")


def _unique(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        require(name not in seen, where, f"{name} stands there twice")
        seen.add(name)


def _sentences(where: str, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    sentences = tuple(entry.get(key, ()))
    require(bool(sentences), where, f"no sentence in {key}")
    for sentence in sentences:
        require(sentence == " ".join(sentence.split()) and bool(sentence), where, f"{key}: blanks in {sentence!r}")
        require(sentence.count("{") == len(placeholders(sentence)), where, f"{key}: braces in {sentence!r}")
    return sentences


def _attribute(file: str, entry: Mapping[str, Any], of_person: bool = False) -> Attribute:
    where = f"{file}: {entry.get('name', '?')}"
    for key in ("name", "value", "noun"):
        require(bool(entry.get(key)), where, f"no {key}")
    require(entry["value"] in KINDS, where, f"{entry['value']} is no kind of value")
    lists = [_sentences(where, entry, key) for key in (SENTENCES[:3] if of_person else SENTENCES)]
    for key, sentences in zip(SENTENCES, lists, strict=False):
        for sentence in sentences:
            found = placeholders(sentence)
            owners = [name for name in found if name in _OWNERS]
            rest = [name for name in found if name not in _OWNERS]
            fits = rest == ([] if key == "ask" else ["value"]) and len(owners) == of_person
            require(fits, where, f"{key}: placeholders in {sentence!r}")
    noun = {key: entry[key] for key in ("noun", "noun_gen", "noun_acc") if key in entry}
    gender, common = entry.get("gender", ""), entry.get("common", False)
    return Attribute(entry["name"], entry["value"], noun, gender, *lists, of_person=of_person, common=common)


def _schema(entry: Mapping[str, Any], lists: Mapping[str, Any]) -> Schema:
    where, about, value = f"open.toml: {entry.get('name', '?')}", entry.get("about", ""), entry.get("value", "")
    require(about in lists["words"], where, f"about = {about!r} is no list")
    listed = value in lists["words"] or value in lists["compose"]
    require(listed or value in KINDS, where, f"value = {value!r} is no list and no kind of value")
    forms = {about, f"{about}_acc", f"{about}_gen"}
    sentences = [_sentences(where, entry, key) for key in SENTENCES]
    for key, texts in zip(SENTENCES, sentences, strict=True):
        for text in texts:
            found = placeholders(text)
            rest = [name for name in found if name not in forms]
            require(rest == ([] if key == "ask" else ["value"]), where, f"{key}: placeholders in {text!r}")
            require(key == "answer" or len(found) > len(rest), where, f"{key}: not about {about} in {text!r}")
    noun = {key: entry[key] for key in ("noun", "noun_gen", "noun_acc") if key in entry}
    kind = f"open/{value}" if listed else value
    return Schema(about, Attribute(entry["name"], kind, noun, "", *sentences))


def _fill(sentence: str, values: Mapping[str, str]) -> str:
    """Put a word into a sentence, with a capital at its start."""
    starts = any(sentence.startswith(f"{{{name}}}") for name in values)
    for name, text in values.items():
        sentence = sentence.replace(f"{{{name}}}", text)
    return sentence[0].upper() + sentence[1:] if starts else sentence


def _relation(entry: Mapping[str, str]) -> Relation:
    where = f"relations.toml: {entry.get('word', '?')}"
    require({"word", "phrase", "second"} <= set(entry), where, "needs word, phrase and second")
    if "possessive" in entry:  # English
        user = {"owner": entry["phrase"], "owners": entry["possessive"]}
        assistant = {"owner": entry["second_plain"], "owners": entry["second"]}
    else:
        user = {"owner": entry["phrase"], "owner_gen": entry["phrase_gen"]}
        assistant = {"owner": entry["second"], "owner_gen": entry["second_gen"]}
    return Relation(entry["word"], user, assistant, entry.get("gender", ""))


def _exchanges(file: str, entries: Iterable[Mapping[str, Any]], said: str, replied: str) -> tuple[Exchange, ...]:
    found = []
    for number, entry in enumerate(entries, 1):
        where = f"{file}: {number}"
        user, reply = _sentences(where, entry, said), _sentences(where, entry, replied)
        require(not any(map(placeholders, user + reply)), where, "a placeholder, and nothing to put there")
        found.append(Exchange(user, reply, entry.get("greeting", False)))
    return tuple(found)


def _phrases(entries: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    lists = {name: _sentences("phrases.toml", entries, name) for name in _PHRASES}
    for name, sentences in lists.items():
        for sentence in sentences:
            fits = frozenset(placeholders(sentence)) in _PHRASES[name]
            require(fits, "phrases.toml", f"{name}: placeholders in {sentence!r}")
    return lists
