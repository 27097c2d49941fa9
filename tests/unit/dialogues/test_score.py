"""What counts as an answer."""

from __future__ import annotations

from random import Random

import pytest

from tokenization.dialogues.score import chance, score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, Probe

CODE = Probe(3, "code", "update", ("4182",), ("5530", "lazy rabbit"), 2, 2)
MEETING = Probe(2, "meeting", "recall", ("w środę o 9:30", "środę o 9:30", "środa o 9:30"), (), 2, 1)
UNKNOWN = Probe(2, "pet", "unknown", ("You have not told me that.",), ("4182",), 0, 1)


@pytest.mark.parametrize(
    ("answer", "probe", "language", "verdict"),
    [
        ("Your locker code is 4182.", CODE, "en", "correct"),
        ("4182", CODE, "en", "correct"),
        ("YOUR LOCKER CODE IS: 4182!!", CODE, "en", "correct"),
        ("Your locker code is 5530.", CODE, "en", "stale"),
        ("Your locker code is 4182 or 5530.", CODE, "en", "wrong"),
        ("Your locker code is 4182 or 9999.", CODE, "en", "wrong"),
        ("Your locker code is 5530 or 9999.", CODE, "en", "wrong"),
        ("Your locker code is 41825.", CODE, "en", "wrong"),
        ("Your locker code is 4 1 8 2.", CODE, "en", "wrong"),
        ("Your locker code is lazy rabbit.", CODE, "en", "wrong"),
        ("", CODE, "en", "wrong"),
        ("You have not told me that.", CODE, "en", "abstained"),
        ("Spotkanie masz w środę o 9:30.", MEETING, "pl", "correct"),
        ("To środa, o 9:30.", MEETING, "pl", "correct"),
        ("Spotkanie masz we wtorek o 9:30.", MEETING, "pl", "wrong"),
        ("Spotkanie masz w środę o 9:30 albo we wtorek o 9:30.", MEETING, "pl", "wrong"),
        ("Spotkanie masz w środę o 19:30.", MEETING, "pl", "wrong"),
        ("Tego jeszcze nie wiem.", MEETING, "pl", "abstained"),
        ("you have not told me that", UNKNOWN, "en", "correct"),
        ("Your pet is a lazy rabbit.", UNKNOWN, "en", "wrong"),
        ("You have not told me that. Your pet is a lazy rabbit.", UNKNOWN, "en", "wrong"),
        ("All right, I will remember.", UNKNOWN, "en", "wrong"),
    ],
)
def test_verdicts(answer, probe, language, verdict):
    assert score(answer, probe, language) == verdict


@pytest.mark.parametrize("language", LANGUAGES)
def test_references_are_right_and_shuffled_ones_near_chance(language):
    spec = DialogueSpec(turns=(6, 8), facts=(2, 4), update=0.3)
    conversations = [generate(spec, language, "test", 0, index) for index in range(2000)]
    asked = [
        (probe, conversation.interactions[probe.turn].answer)
        for conversation in conversations
        for probe in conversation.probes
    ]
    assert {score(answer, probe, language) for probe, answer in asked} == {"correct"}

    known = sorted(((p, a) for p, a in asked if p.kind != "unknown"), key=lambda pair: pair[0].slot)
    answers: dict[str, list[str]] = {}
    for probe, answer in known:
        answers.setdefault(probe.slot, []).append(answer)
    for shuffled in answers.values():
        Random(0).shuffle(shuffled)
    right = sum(score(answers[probe.slot].pop(), probe, language) == "correct" for probe, _ in known)
    expected = sum(chance(probe.slot, language, "test") for probe, _ in known)
    assert expected / len(known) < 0.04
    assert abs(right - expected) / len(known) < 0.01


@pytest.mark.parametrize("language", LANGUAGES)
def test_answering_with_the_old_value_is_stale(language):
    stale = 0
    for index in range(300):
        conversation = generate(DialogueSpec(update=1.0), language, "test", 1, index)
        for probe in conversation.probes:
            if probe.kind == "update":
                answer = conversation.interactions[probe.turn].answer.replace(probe.gold[0], probe.forbidden[0])
                assert score(answer, probe, language) == "stale"
                stale += 1
    assert stale > 100
