"""What counts as an answer to what the broad generator asks."""

from __future__ import annotations

import pytest

from tokenization.dialogues.broad.book import load
from tokenization.dialogues.broad.refusals import refuses
from tokenization.dialogues.score import chance, score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, Probe

JOB = Probe(5, "broad/job", "update", ("a baker", "baker"), ("pilot", "Orla", "4182"), 2, 3)
BOTH = Probe(5, "broad/code", "recall", ("4182", "Orla"), ("pilot",), 2, 3, "two-facts")
UNKNOWN = Probe(5, "broad/code", "unknown", ("I've no idea.",), ("4182", "Orla"), 0, 2, "retracted")


@pytest.mark.parametrize(
    ("answer", "probe", "verdict"),
    [
        ("You work as a baker.", JOB, "correct"),
        ("Baker!", JOB, "correct"),
        ("You are a bakery worker.", JOB, "wrong"),
        ("You work as a pilot.", JOB, "stale"),
        ("You work as a pilot, or a baker.", JOB, "wrong"),
        ("Your friend is Orla.", JOB, "wrong"),
        ("You work as a pilot, and your friend is Orla.", JOB, "wrong"),
        ("You haven't mentioned your job yet.", JOB, "abstained"),
        ("You have not told me that.", JOB, "abstained"),
        ("The code is 4182 and your friend is Orla.", BOTH, "correct"),
        ("Orla, and 4182.", BOTH, "correct"),
        ("The code is 4182.", BOTH, "wrong"),
        ("The code is 4182, your friend is Orla, you are a pilot.", BOTH, "wrong"),
        ("You haven't said anything about your locker code.", UNKNOWN, "correct"),
        ("You never mentioned your locker code. Is it 4182?", UNKNOWN, "wrong"),
        ("Your locker code is 4182.", UNKNOWN, "wrong"),
        ("Got it.", UNKNOWN, "wrong"),
        ("", UNKNOWN, "wrong"),
    ],
)
def test_verdicts(answer, probe, verdict):
    assert score(answer, probe, "en") == verdict


@pytest.mark.parametrize("language", LANGUAGES)
def test_references_are_right_and_refusals_are_told_from_answers(language):
    spec = DialogueSpec(turns=(3, 12), facts=(1, 5), update=0.3, unknown=0.2, broad=1.0)
    for split in ("train", "test"):
        for index in range(1_500):
            conversation = generate(spec, language, split, 0, index)
            unknown = {probe.turn for probe in conversation.probes if probe.kind == "unknown"}
            for probe in conversation.probes:
                assert score(conversation.interactions[probe.turn].answer, probe, language) == "correct"
            for number, turn in enumerate(conversation.interactions):
                assert refuses(turn.answer, language) == (number in unknown), turn


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_acknowledgement_is_no_refusal(language):
    phrases = load(language).phrases
    for name in ("acknowledge", "acknowledge_change", "acknowledge_retract"):
        assert [text for text in phrases[name] if refuses(text, language)] == []


def test_chance_counts_the_values_of_closed_kinds():
    assert chance("broad/weekday", "en", "train") == 1 / 7
    assert 0 < chance("broad/country", "pl", "test") < 0.2
    assert chance("broad/first_name", "pl", "test") == 0.0
    assert chance("code", "en", "test") > 0
