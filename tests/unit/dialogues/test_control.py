"""Options of generated dialogues: a grid of distances, ways not to know, questions that need two facts, and what only
the test split has."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from tokenization.dialogues.score import chance, score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.values import PERSON, SLOT_NAMES, VALUES, mentioned, split_values
from tokenization.dialogues.wording import PHRASEBOOKS, generate
from tokenization.records import LANGUAGES, SPLITS, Conversation

GRID = DialogueSpec(turns=(140, 150), facts=(8, 9), update=0.2, unknown=0.0, distances=(1, 2, 4, 8, 16, 32, 64, 128))
KINDS = DialogueSpec(turns=(10, 12), facts=(2, 4), unknown=0.4, distract=0.4, unknown_kinds=(1, 1, 1))
JOINS = DialogueSpec(turns=(10, 14), facts=(2, 5), distract=0.4, joins=0.6, unknown=0.1)
UNSEEN = DialogueSpec(turns=(6, 9), update=0.2, unknown=0.1, held_out=True)


@cache
def conversations(spec: DialogueSpec, language: str, split: str = "test", count: int = 150) -> list[Conversation]:
    return [generate(spec, language, split, 3, index) for index in range(count)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_facts_are_asked_at_the_distances_of_the_grid_alone(language):
    distances = Counter(
        probe.distance for conversation in conversations(GRID, language, count=40) for probe in conversation.probes
    )
    assert set(distances) == set(GRID.distances)
    assert min(distances.values()) > 0.05 * distances.total()
    for conversation in conversations(GRID, language, count=40):
        for probe in conversation.probes:
            value = probe.gold[0]
            stated = max(
                n for n in range(probe.turn) if value in mentioned(conversation.interactions[n].query, language)
            )
            assert probe.turn - stated == probe.distance


def test_a_grid_that_cannot_fit_is_refused():
    with pytest.raises(ValueError, match="one must be below turns = 8"):
        DialogueSpec(turns=(8, 9), distances=(8, 16))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_ways_not_to_know_are_what_their_tags_say(language):
    tags: Counter[str] = Counter()
    slots = {slot.name: slot for slot in PHRASEBOOKS[language].slots}
    for conversation in conversations(KINDS, language):
        queries = [turn.query for turn in conversation.interactions]
        for probe in conversation.probes:
            tags[probe.tag] += probe.kind == "unknown"
            assert bool(probe.tag) == (probe.kind == "unknown")
            slot = slots[probe.slot]
            stated = [n for n, query in enumerate(queries) if mentioned(query, language, probe.slot)]
            told = [n for n in stated if _fits(queries[n], slot.tells)]
            others = [n for n in stated if _fits(queries[n], slot.others)]
            if probe.tag == "told-later":
                assert len(told) == 1 and told[0] > probe.turn and not others
            elif probe.tag == "somebody-else":
                assert len(others) == 1 and others[0] < probe.turn and not told
                assert mentioned(queries[others[0]], language, probe.slot) <= set(probe.forbidden)
            elif probe.tag == "never-told":
                assert not told and not others
            if probe.kind == "unknown":
                assert score(PHRASEBOOKS[language].refusal, probe, language) == "correct"
    assert min(tags[tag] for tag in ("never-told", "told-later", "somebody-else")) > 0.2 * sum(tags.values())


def test_every_question_about_nothing_told_has_a_turn_where_there_is_little_small_talk():
    tight = DialogueSpec(turns=(4, 16), facts=(1, 6), unknown=0.8, distract=0, unknown_kinds=(0, 1, 1), joins=0.3)
    for conversation in conversations(tight, "en", count=1_000):
        assert 4 <= len(conversation.interactions) <= 16 and conversation.probes


def _fits(query: str, templates) -> bool:
    return any(re.fullmatch(".+".join(map(re.escape, template.split("{}"))), query) for template in templates)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_join_needs_both_facts_and_both_were_told(language):
    people = {value[0] for value in split_values(language, PERSON, "test")}
    joins = 0
    for conversation in conversations(JOINS, language):
        for probe in conversation.probes:
            if probe.tag != "join":
                continue
            joins += 1
            earlier = [turn.query for turn in conversation.interactions[: probe.turn]]
            (home,) = [n for n, query in enumerate(earlier) if probe.gold[0] in mentioned(query, language, "residence")]
            (person,) = [name for name in people if name in earlier[home]]
            (role,) = [n for n, query in enumerate(earlier) if person in query and n != home]
            word = set(re.findall(r"\w+", conversation.interactions[probe.turn].query)) & set(
                re.findall(r"\w+", earlier[role])
            )
            assert word - {"my", "mój"}, "the question does not name the role that was told"
            assert probe.turn - probe.distance == min(home, role)
            assert person not in conversation.interactions[probe.turn].query
            assert score(conversation.interactions[probe.turn].answer, probe, language) == "correct"
            for place in set(probe.forbidden) & {value[0] for value in split_values(language, "residence", "test")}:
                assert score(place, probe, language) == "wrong"
    assert joins > 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_sentences_and_slot_are_in_the_test_split_alone(language):
    book = PHRASEBOOKS[language]
    unseen = {question for slot in book.slots for question, _ in slot.unseen_questions}
    tells = [template for slot in book.slots for template in slot.unseen_tells]
    seen = {question for slot in book.slots for question, _ in slot.questions}
    assert len(unseen) == len(tells) == len(SLOT_NAMES) and not unseen & seen
    for split in ("train", "validation"):
        plain = DialogueSpec(turns=(6, 9), update=0.2, unknown=0.1)
        assert conversations(UNSEEN, language, split) == conversations(plain, language, split)
        for conversation in conversations(UNSEEN, language, split):
            for turn in conversation.interactions:
                assert turn.query not in unseen and not _fits(turn.query, tells)
                assert not mentioned(turn.query, language, book.held_out.name)
    slots: Counter[str] = Counter()
    for conversation in conversations(UNSEEN, language):
        assert any(mentioned(turn.query, language, "birthday") for turn in conversation.interactions) or any(
            probe.slot == "birthday" and probe.kind == "unknown" for probe in conversation.probes
        )
        for probe in conversation.probes:
            slots[probe.slot] += 1
            assert conversation.interactions[probe.turn].query not in seen
            assert score(conversation.interactions[probe.turn].answer, probe, language) == "correct"
    assert set(slots) == {*SLOT_NAMES, "birthday"}


@pytest.mark.parametrize("spec", [GRID, KINDS, JOINS, UNSEEN])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_holds_what_it_asks_for(spec, language):
    for conversation in conversations(spec, language, count=40):
        for probe in conversation.probes:
            query = conversation.interactions[probe.turn].query.casefold()
            assert not any(form.casefold() in query for form in probe.gold)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("slot", ["birthday", "residence"])
def test_special_slots_have_their_values_per_split(language, slot):
    tables = [{value[0] for value in split_values(language, slot, split)} for split in SPLITS]
    assert sum(map(len, tables)) == len(set().union(*tables)) == len(VALUES[language][slot])
    assert all(len(table) >= 14 for table in tables) and chance(slot, language, "test") < 0.08
    for value in VALUES[language][slot]:
        assert all(mentioned(form, language, slot) == {value[0]} for form in value)
        assert not mentioned(value[0], language), "looks like a value of another slot"
    names = [{value[0] for value in split_values(language, PERSON, split)} for split in SPLITS]
    assert sum(map(len, names)) == len(set().union(*names)) and min(map(len, names)) >= 5


@pytest.mark.parametrize(
    ("slot", "forms"),
    [
        ("residence", ("we Wrocławiu koło ratusza", "Wrocławiu koło ratusza", "Wrocław koło ratusza")),
        ("residence", ("we Włocławku koło apteki", "Włocławku koło apteki", "Włocławek koło apteki")),
        ("residence", ("w Łodzi koło muzeum", "Łodzi koło muzeum", "Łódź koło muzeum")),
        ("residence", ("w Kielcach koło jeziora", "Kielcach koło jeziora", "Kielce koło jeziora")),
        ("residence", ("w Porto koło zoo", "Porto koło zoo")),
        ("birthday", ("3 maja",)),
        ("birthday", ("21 września",)),
    ],
)
def test_polish_forms(slot, forms):
    assert forms in [tuple(dict.fromkeys(value)) for value in VALUES["pl"][slot]]


@pytest.mark.parametrize("echo", [0.0, 0.5, 1.0])
def test_echo_arms_differ_in_acknowledgements_alone(echo):
    for language in LANGUAGES:
        plain, arm = (
            conversations(DialogueSpec(echo=value, joins=0.3, distract=0.4), language) for value in (0.0, echo)
        )
        said = told = 0
        for one, other in zip(plain, arm, strict=True):
            assert one.probes == other.probes
            for first, second in zip(one.interactions, other.interactions, strict=True):
                assert first.query == second.query
                if first.answer == PHRASEBOOKS[language].acknowledgement:
                    told += 1
                    said += second.answer != first.answer
                else:
                    assert first == second
        assert said / told == pytest.approx(echo, abs=0.07)
