"""Generated conversations, read back through the templates, as a person would read them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.support.processes import SECONDS
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.values import mentioned, split_values, value_table
from tokenization.dialogues.wording import PHRASEBOOKS, example, generate
from tokenization.records import LANGUAGES, SPLITS, Interaction

SPEC = DialogueSpec(update=0.3, unknown=0.2)
CONVERSATIONS = {language: [generate(SPEC, language, "test", 5, i) for i in range(400)] for language in LANGUAGES}


def read(conversation) -> list[tuple[str, str, str]]:
    """Return (kind, slot, value) of each turn, found by matching the query against every template."""
    return [
        _read(interaction.query, conversation.language, conversation.split) for interaction in conversation.interactions
    ]


def _read(query: str, language, split) -> tuple[str, str, str]:
    for slot in PHRASEBOOKS[language].slots:
        if query in [question for question, _ in slot.questions]:
            return "ask", slot.name, ""
        for kind, templates in (("tell", slot.tells), ("update", slot.updates)):
            for template in templates:
                before, after = map(re.escape, template.split("{}"))
                match = re.fullmatch(f"{before}(.+){after}", query)
                if match and match[1] in value_table(language, slot.name, split):
                    return kind, slot.name, match[1]
    return "distract", "", ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_probes_say_what_the_turns_say(language):
    book = PHRASEBOOKS[language]
    for conversation in CONVERSATIONS[language]:
        told: dict[str, list[tuple[int, str]]] = {}
        probes = {probe.turn: probe for probe in conversation.probes}
        asked = []
        for turn, (kind, slot, value) in enumerate(read(conversation)):
            assert (kind == "ask") == (turn in probes)
            if kind in ("tell", "update"):
                assert (kind == "update") == (slot in told)
                assert value not in [older for _, older in told.get(slot, [])]
                told.setdefault(slot, []).append((turn, value))
            if kind != "ask":
                continue
            asked.append(slot)
            probe, answer = probes[turn], conversation.interactions[turn].answer
            assert probe.slot == slot and probe.facts == len(told)
            others = {value for name, values in told.items() if name != slot for _, value in values}
            if slot not in told:
                assert (probe.kind, probe.distance, probe.gold) == ("unknown", 0, (book.refusal,))
                assert answer == book.refusal and set(probe.forbidden) == others
                continue
            (*older, (stated, current)) = told[slot]
            assert probe.kind == ("update" if older else "recall")
            assert probe.distance == turn - stated >= 1
            assert current == probe.gold[0] and current in answer
            assert probe.forbidden[: len(older)] == tuple(value for _, value in older)
            assert set(probe.forbidden[len(older) :]) == others
        assert len(set(asked)) == len(asked), "each fact is asked once"
        assert conversation.probes


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_leaks(language):
    for conversation in CONVERSATIONS[language]:
        for probe in conversation.probes:
            query = conversation.interactions[probe.turn].query
            assert not mentioned(query, language)
            assert not any(form.casefold() in query.casefold() for form in probe.gold)
        values = [value for kind, _, value in read(conversation) if kind in ("tell", "update")]
        assert len(set(values)) == len(values)
        for interaction, (kind, _, _) in zip(conversation.interactions, read(conversation), strict=True):
            if kind == "distract":
                assert not mentioned(f"{interaction.query} {interaction.answer}", language)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_uses_its_own_values_only(split):
    for language in LANGUAGES:
        for index in range(100):
            conversation = generate(SPEC, language, split, 0, index)
            for interaction in conversation.interactions:
                for value in mentioned(interaction.query, language):
                    assert any(value in value_table(language, s.name, split) for s in PHRASEBOOKS[language].slots)


def test_distances_one_to_four_are_frequent_and_reach_the_end():
    probes = [
        probe
        for conversations in CONVERSATIONS.values()
        for conversation in conversations
        for probe in conversation.probes
    ]
    known = Counter(probe.distance for probe in probes if probe.kind != "unknown")
    share = {distance: count / known.total() for distance, count in known.items()}
    assert all(share[distance] > 0.08 for distance in (1, 2, 3, 4))
    assert set(share) == set(range(1, 8))
    far = Counter(
        probe.distance
        for index in range(300)
        for probe in generate(DialogueSpec(turns=(32, 32)), "en", "test", 0, index).probes
    )
    assert set(far) - {0} == set(range(1, 32))


def test_counts_follow_the_specification():
    spec = DialogueSpec(turns=(8, 8), facts=(2, 3), update=0.5, unknown=0.25, distract=0.25)
    conversations = [generate(spec, "pl", "train", 1, i) for i in range(600)]
    kinds = Counter(kind for conversation in conversations for kind, _, _ in read(conversation))
    probes = Counter(probe.kind for conversation in conversations for probe in conversation.probes)
    assert all(len(conversation.interactions) == 8 for conversation in conversations)
    assert {
        len({slot for kind, slot, _ in read(conversation) if kind == "tell"}) for conversation in conversations
    } == {2, 3}
    assert 0.2 < probes["unknown"] / probes.total() < 0.3
    assert 0.4 < probes["update"] / (probes["update"] + probes["recall"]) < 0.6
    assert 0.2 < kinds["distract"] / kinds.total() < 0.35


def test_shortest_conversations():
    one = generate(DialogueSpec(turns=(1, 1)), "en", "train", 0, 0)
    assert [kind for kind, _, _ in read(one)] == ["tell"] and not one.probes
    for index in range(50):
        two = generate(DialogueSpec(turns=(2, 2), unknown=0.0, distract=1.0), "en", "train", 0, index)
        assert [probe.distance for probe in two.probes] == [1]


def test_echo_changes_the_acknowledgements_alone():
    never, always = DialogueSpec(echo=0.0), DialogueSpec(echo=1.0)
    for language in LANGUAGES:
        for index in range(100):
            plain, echoed = (generate(spec, language, "train", 2, index) for spec in (never, always))
            assert plain.probes == echoed.probes
            for first, second, (kind, _, value) in zip(
                plain.interactions, echoed.interactions, read(plain), strict=True
            ):
                assert first.query == second.query
                if kind in ("tell", "update"):
                    assert first.answer == PHRASEBOOKS[language].acknowledgement
                    assert mentioned(second.answer, language) == {value}
                else:
                    assert first == second


def test_real_distractors_take_their_share_unless_they_hold_a_value():
    pet = value_table("en", "pet", "train")[0]
    real = [Interaction("Who wrote it?", "Nobody knows."), Interaction("Look!", f"I can see a {pet}.")]
    spec = DialogueSpec(turns=(6, 8), distract=0.5)
    conversations = [generate(spec, "en", "train", 0, i, real) for i in range(300)]
    assert not any(real[1] in conversation.interactions for conversation in conversations)
    turns = Counter(
        turn == real[0]
        for conversation in conversations
        for turn in conversation.interactions
        if _read(turn.query, "en", "train")[0] == "distract"
    )
    share = turns[True] / turns.total()
    assert share == pytest.approx(REAL_TALK / 2, abs=0.03)  # half of the picks was refused


def test_other_seeds_and_indices_give_other_conversations():
    texts = {generate(SPEC, "en", "train", seed, index).interactions for seed in range(10) for index in range(100)}
    assert len(texts) > 990


def test_same_conversation_in_every_process():
    program = (
        "import hashlib; from tokenization.dialogues.wording import DialogueSpec, example, generate;"
        "made = [generate(DialogueSpec(), language, 'test', 7, i) for language in ('en', 'pl') for i in range(50)];"
        "print(hashlib.sha256(repr([made, example('pl', 3)]).encode()).hexdigest())"
    )
    digests = {
        subprocess.check_output(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, timeout=SECONDS
        )
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_example_tells_chats_and_asks_from_test_values(language):
    lengths = set()
    for seed in range(30):
        conversation = example(language, seed)
        kinds = [kind for kind, _, _ in read(conversation)]
        facts = kinds.count("tell")
        assert kinds == ["tell"] * facts + ["distract"] + ["ask"] * facts
        assert {probe.slot for probe in conversation.probes} == {
            slot for kind, slot, _ in read(conversation) if kind == "tell"
        }
        lengths.add(len(conversation.interactions))
    assert lengths == {5, 7}


@pytest.mark.parametrize("bad", [{"turns": (5, 4)}, {"facts": (0, 2)}])
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DialogueSpec(**bad)


def test_texts_are_short():
    for conversations in CONVERSATIONS.values():
        for conversation in conversations:
            for interaction in conversation.interactions:
                assert len(f"{interaction.query} {interaction.answer}".split()) <= 22


def test_polish_assistant_has_no_gender():
    answers = {turn.answer for conversation in CONVERSATIONS["pl"] for turn in conversation.interactions}
    assert not [answer for answer in answers if re.search(r"(łem|łam)\b", answer)]


def test_gold_lists_every_form_of_the_value():
    for conversation in CONVERSATIONS["pl"]:
        for probe in conversation.probes:
            if probe.kind != "unknown":
                assert probe.gold in split_values("pl", probe.slot, "test")
