"""The phrasebook that the project ships, and what is said of one that is not in form."""

from __future__ import annotations

import shutil
import tomllib
from collections import Counter

import pytest

from pipelines.code_digest import ROOT
from tokenization.dialogues.broad.book import FOLDER, KINDS, PhrasebookError, load, read
from tokenization.dialogues.broad.english_values import _with_article
from tokenization.dialogues.values import words
from tokenization.records import LANGUAGES


def sentences(language):
    """Of attributes alone: what tells, asks, answers and changes a fact."""
    book = load(language)
    for attribute in book.attributes + book.person_attributes:
        yield from attribute.tell + attribute.ask + attribute.answer + attribute.change


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_as_large_as_it_has_to_be(language):
    book = load(language)
    assert len(book.attributes) >= 450 and len(book.schemas) >= 220 and len(list(sentences(language))) >= 10_000
    assert len(book.person_attributes) >= 60 and len(book.relations) >= 60
    assert len(book.small_talk) >= 250 and len(book.questions) >= 300
    assert len(book.phrases["acknowledge"]) >= 100 and len(book.phrases["refuse"]) >= 80


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_value_is_told_and_no_sentence_stands_there_twice(language):
    book = load(language)
    assert {attribute.kind for attribute in book.attributes} == KINDS
    joins = book.phrases["join"]  # these differ in their marks as well
    assert len(set(joins)) == len(joins)
    phrases = [text for name, texts in book.phrases.items() if name != "join" for text in texts]
    times = Counter(" ".join(words(text)) for text in (*sentences(language), *phrases))
    assert [text for text, count in times.items() if count > 1] == []
    for schema in book.schemas:
        said = schema.attribute.tell + schema.attribute.ask + schema.attribute.change
        assert len(set(said)) == len(said), schema.attribute.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_attribute_can_be_told_asked_answered_and_changed_in_several_ways(language):
    for attribute in load(language).attributes:
        assert len(attribute.tell) >= 5 and len(attribute.ask) >= 5
        assert len(attribute.answer) >= 3 and len(attribute.change) >= 3
    cases = {"en": {"noun"}, "pl": {"noun", "noun_gen", "noun_acc"}}[language]
    assert all(set(attribute.noun) == cases for attribute in load(language).attributes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_are_made_of_words_that_stand_there_once(language):
    for name, listed in load(language).words.items():
        assert len(set(listed)) == len(listed) and all(listed), name


def test_an_installed_package_has_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["tokenization.dialogues.broad"]
    shipped = {path for pattern in patterns for path in FOLDER.parent.glob(pattern)}
    assert shipped == {path for path in FOLDER.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("attributes_01.toml", 'name = "locker_code"', "", "attributes_01.toml: ?: no name"),
        ("attributes_01.toml", 'value = "code"', 'value = "colours"', "locker_code: colours is no kind of value"),
        ("attributes_01.toml", "opens with {value}", "opens with it", "tell: placeholders in 'My locker opens"),
        ("attributes_01.toml", "My locker code?", "My locker code, {value}?", "ask: placeholders in"),
        ("attributes_01.toml", "My locker code?", "My  locker code?", "ask: blanks in"),
        ("attributes_01.toml", 'name = "alarm_code"', 'name = "locker_code"', "locker_code stands there twice"),
        ("relations.toml", "{owners} birthday is on {value}.", "It is on {value}.", "answer: placeholders in"),
        ("relations.toml", 'phrase = "my sister"', "", "relations.toml: sister: needs word, phrase and second"),
        ("phrases.toml", "Not {old}, sorry, I meant {new}.", "I meant {new}.", "correction: placeholders in"),
        ("small_talk.toml", '"Hello!"', '"Hello, {value}!"', "small_talk.toml: 1: a placeholder"),
        ("questions.toml", "[[question]]", "[[question]", "questions.toml: "),
    ],
)
def test_what_is_not_in_form_is_named(tmp_path, file, old, new, message):
    shutil.copytree(FOLDER / "en", tmp_path / "en")
    path = tmp_path / "en" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(PhrasebookError) as error:
        read(tmp_path / "en")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("word", "article"),
    [("used car", "a"), ("uniform", "a"), ("unicycle", "a"), ("ukulele", "a"), ("European car", "a"), ("ewer", "a"),
     ("one-man tent", "a"), ("usher", "an"), ("umbrella", "an"), ("uninvited guest", "an"), ("old van", "an"),
     ("onion", "an"), ("hourglass", "an"), ("Honda", "a"), ("estate agent", "an"), ("utility van", "a")],
)  # fmt: skip
def test_the_english_article_goes_by_the_sound(word, article):
    assert _with_article(word)[0] == f"{article} {word}"
