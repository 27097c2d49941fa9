"""Validation and test share no attribute, no sentence and no value with training, over thousands of conversations."""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random

import pytest

from tokenization.dialogues.broad.book import KINDS, load
from tokenization.dialogues.broad.material import material, split_of_attribute
from tokenization.dialogues.broad.phrasing import PLAIN_ACKNOWLEDGEMENTS
from tokenization.dialogues.broad.value_splits import TOO_FEW_VALUES, draw_value, shortest, split_of_value
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.values import REFUSALS, words
from tokenization.dialogues.wording import generate
from tokenization.records import BROAD, LANGUAGES, SPLITS

SPEC = DialogueSpec(
    turns=(3, 14), facts=(1, 6), distract=0.2, again=0.5, update=0.3, unknown=0.18, broad=1.0, plain=0.3
)
GENDERS = {"en": ("",), "pl": ("m", "f")}
MIXED = DialogueSpec(
    turns=(3, 10), facts=(1, 4), distract=0.2, again=0.5, update=0.3, unknown=0.18, broad=0.5, plain=0.3
)


def conversations(spec, language, split, count):
    return (generate(spec, language, split, 7, index) for index in range(count))


@pytest.mark.parametrize("language", LANGUAGES)
def test_attributes_of_a_split_are_its_own(language):
    seen = defaultdict(set)
    for split in SPLITS:
        for gender in GENDERS[language]:
            found = material(language, split, gender)
            seen[split] |= {attribute.name for attribute in found.attributes + found.person_attributes}
    assert seen["train"].isdisjoint(seen["validation"] | seen["test"]) and seen["validation"].isdisjoint(seen["test"])
    assert len(seen["train"]) >= 180 and len(seen["test"]) >= 25 and len(seen["validation"]) >= 15


def test_an_attribute_that_both_languages_have_is_in_one_split():
    english, polish = ({one.name: split_of_attribute(one) for one in load(name).attributes} for name in LANGUAGES)
    assert len(set(english) & set(polish)) > 60
    assert [name for name in english if name in polish and english[name] != polish[name]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_list_of_phrases_has_some_for_everybody(language):
    for split in SPLITS:
        for gender in GENDERS[language]:
            found = material(language, split, gender)
            assert all(found.phrases.values()) and found.small_talk and found.questions and found.greetings


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_in_test_is_never_said_in_training(language):
    """Whole turns of both generators, with the values in them. General questions and small talk say nothing of a fact;
    the templates' sums and opposites meet some of them. So do the refusal and the acknowledgement that both use."""
    trained = set()
    for conversation in conversations(MIXED, language, "train", 3_000):
        trained |= {words(text) for turn in conversation.interactions for text in (turn.query, turn.answer)}
    book = load(language)
    talk = {words(text) for one in book.small_talk + book.questions for text in one.user + one.reply}
    talk |= {words(REFUSALS[language]), words(PLAIN_ACKNOWLEDGEMENTS[language])}
    for split in ("validation", "test"):
        for conversation in conversations(SPEC, language, split, 1_000):
            said = {words(text) for turn in conversation.interactions for text in (turn.query, turn.answer)}
            assert (said - talk).isdisjoint(trained)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_a_split_are_its_own(language):
    seen = defaultdict(set)
    for split in SPLITS:
        for gender in GENDERS[language]:
            found = material(language, split, gender)
            for one in found.attributes + found.person_attributes:
                seen[split] |= set(one.tell + one.ask + one.answer + one.change)
            seen[split] |= {text for one in found.schemas for text in one.attribute.ask}
            for exchange in found.greetings + found.small_talk + found.questions:
                seen[split] |= set(exchange.user + exchange.reply)
            seen[split] |= {text for texts in found.phrases.values() for text in texts}
    shared = seen["train"] & (seen["validation"] | seen["test"]) | seen["validation"] & seen["test"]
    assert {text for text in shared if len(words(text)) > 2} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_statement_or_question_of_a_split_has_a_pattern_of_training(language):
    """Whatever its placeholders are called: `Where is the {thing}?` and `Where is the {big_thing}?` are one."""
    seen = defaultdict(set)
    for split in SPLITS:
        for gender in GENDERS[language]:
            found = material(language, split, gender)
            everything = [*found.attributes, *found.person_attributes, *(one.attribute for one in found.schemas)]
            for text in (text for one in everything for text in one.tell + one.ask + one.change):
                seen[split].add(" ".join(words(re.sub(r"\{.*?\}", " thing ", text))))
    assert len(seen["train"]) > 5_000 and len(seen["test"]) > 400
    assert seen["train"].isdisjoint(seen["validation"] | seen["test"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_told_in_test_are_never_told_in_training_by_either_generator(language):
    told = {}
    for split in SPLITS:
        for conversation in conversations(MIXED if split == "train" else SPEC, language, split, 3_000):
            for probe in conversation.probes:
                if probe.slot.removeprefix(f"{BROAD}/") not in TOO_FEW_VALUES and probe.kind != "unknown":
                    told.setdefault(split, set()).update(map(words, probe.gold))
                told.setdefault(split, set()).update(map(words, probe.forbidden))
    assert len(told["train"]) > 3_000 and len(told["test"]) > 800
    assert told["train"].isdisjoint(told["test"]) and told["train"].isdisjoint(told["validation"])
    assert told["validation"].isdisjoint(told["test"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_values_in_every_split(language, kind):
    rng = Random(0)
    for split in SPLITS if kind not in TOO_FEW_VALUES else ("train",):
        values = {shortest(draw_value(language, kind, split, rng)) for _ in range(60)}
        assert len(values) >= 3
        assert kind in TOO_FEW_VALUES or all(split_of_value((value,)) == split for value in values)


@pytest.mark.parametrize("language", LANGUAGES)
def test_kinds_with_too_few_values_are_not_asked_outside_of_training(language):
    for split in ("validation", "test"):
        for gender in GENDERS[language]:
            found = material(language, split, gender)
            assert not {one.kind for one in found.attributes + found.person_attributes} & set(TOO_FEW_VALUES)
