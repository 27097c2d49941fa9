"""Value tables: disjoint splits, parts that training has seen, slots that cannot be confused, and inflection."""

from __future__ import annotations

import re

import pytest

from tokenization.dialogues.score import chance
from tokenization.dialogues.values import SLOT_NAMES, VALUES, mentioned, value_table, words
from tokenization.dialogues.wording import PHRASEBOOKS
from tokenization.records import LANGUAGES, SPLITS

EVERY_SLOT = [(language, slot) for language in LANGUAGES for slot in SLOT_NAMES]


@pytest.mark.parametrize(("language", "slot"), EVERY_SLOT)
def test_splits_partition_the_table_and_leave_no_part_unseen(language, slot):
    train, validation, test = (value_table(language, slot, split) for split in SPLITS)
    whole = {value[0] for value in VALUES[language][slot]}
    assert len(whole) >= 300
    assert set(train) | set(validation) | set(test) == whole
    assert len(train) + len(validation) + len(test) == len(whole)
    assert min(len(validation), len(test)) >= 20
    assert chance(slot, language, "test") == 1 / len(test)
    seen = {word for value in train for word in parts(slot, value)}
    assert all(set(parts(slot, value)) <= seen for value in (*validation, *test))


def parts(slot: str, value: str) -> list[str]:
    """Return the words, or each digit of a code with its place."""
    return [f"{place}:{digit}" for place, digit in enumerate(value)] if slot == "code" else value.split()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_form_belongs_to_two_values_of_any_slot(language):
    forms = [(form, value[0]) for slot in SLOT_NAMES for value in VALUES[language][slot] for form in set(value)]
    assert len({words(form) for form, _ in forms}) == len(forms)
    assert all(mentioned(form, language) == {value} for form, value in forms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_slots_share_no_word_but_numbers_and_prepositions(language):
    shared = {"in", "at", "with", "street", "o", "w", "we", "z", "ze"}
    owner: dict[str, str] = {}
    for slot in SLOT_NAMES:
        for value in VALUES[language][slot]:
            for word in words(value[0]):
                if word not in shared and not word.isdigit():
                    assert owner.setdefault(word, slot) == slot, word


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_takes_one_value_and_questions_take_none(language):
    for slot in PHRASEBOOKS[language].slots:
        assert 2 <= len(slot.tells) <= 3 and 2 <= len(slot.questions) <= 3 and slot.updates
        assert all(text.count("{}") == 1 for text in (*slot.tells, *slot.updates, *(a for _, a in slot.questions)))
        assert not any("{}" in question for question, _ in slot.questions)


def test_both_languages_have_the_same_slots_in_the_same_order():
    assert [slot.name for slot in PHRASEBOOKS["pl"].slots] == list(SLOT_NAMES)


@pytest.mark.parametrize(
    ("slot", "forms"),
    [
        ("pet", ("dzika gęś",)),
        ("pet", ("dzikie szczenię",)),
        ("pet", ("ciekawski żółw",)),
        ("pet", ("ciekawska mysz",)),
        ("pet", ("uparta koza",)),
        ("pet", ("mądre szczenię",)),
        ("pet", ("nieśmiała żaba",)),
        ("car", ("czerwona toyota",)),
        ("car", ("białe volvo",)),
        ("car", ("błękitny fiat",)),
        ("meeting", ("we wtorek o 9:30", "wtorek o 9:30")),
        ("meeting", ("w środę o 14:00", "środę o 14:00", "środa o 14:00")),
        ("meeting", ("w niedzielę o 8:15", "niedzielę o 8:15", "niedziela o 8:15")),
        ("home", ("Krótka 12", "Krótkiej 12")),
        ("home", ("Długa 49", "Długiej 49")),
        ("home", ("Polna 30", "Polnej 30")),
        ("dish", ("ryż ze szpinakiem",)),
        ("dish", ("zupa z cebulą", "zupę z cebulą")),
        ("dish", ("pierogi ze śmietaną",)),
        ("holiday", ("Paryża we wrześniu", "Paryż we wrześniu")),
        ("holiday", ("Aten w lutym", "Ateny w lutym")),
        ("holiday", ("Oslo w maju",)),
    ],
)
def test_polish_forms(slot, forms):
    assert forms in [tuple(dict.fromkeys(value)) for value in VALUES["pl"][slot]]


def test_polish_prepositions_before_clusters():
    texts = [value[0] for slot in SLOT_NAMES for value in VALUES["pl"][slot]]
    assert not [
        text for text in texts if re.search(r"\b(w (wt|wrz)|we (?!wt|wrz)|z (s[^ieaouy]z?p|śm)|ze [^sś])", text)
    ]


def test_english_values_after_an_article_start_with_a_consonant():
    texts = [value[0] for slot in ("pet", "car") for value in VALUES["en"][slot]]
    assert not [text for text in texts if text[0] in "aeiou"]
