"""What the judge calls right. Every expectation follows from the rules that stand in `judge`, read by a person."""

from __future__ import annotations

import unicodedata

import pytest

from jobs.evaluation.own_words.judge import judge, normalise
from jobs.evaluation.own_words.reader import OwnWordsProbe


def make(kind="recall", gold=("54",), also=(), forbidden=()):
    return OwnWordsProbe(kind=kind, gold=gold, also=also, forbidden=forbidden, facts=1, distance=1)


RING = make(gold=("54", "fifty-four"))
CHANGED = make("update", gold=("nine",), forbidden=("six", "seven"))
VET = make(gold=("Monday",), also=(("3:20", "twenty past three"),))
OLDER = make("count_or_compare", gold=("Ola",), forbidden=("Ewa",))
NEVER = make("unknown", gold=(), forbidden=("green",))


@pytest.mark.parametrize(
    ("answer", "probe", "expected"),
    [
        ("Your ring size is FIFTY-FOUR!", RING, "correct"),
        ("It is 540.", RING, "wrong"),
        ("It is 54.5.", RING, "wrong"),
        ("It is 54, I think.", RING, "correct"),
        ("I don’t know.", RING, "abstained"),
        ("Tego jeszcze nie wiem.", RING, "abstained"),
        ("I don't know, 54?", RING, "correct"),
        ("", RING, "wrong"),
        ("At nine.", CHANGED, "correct"),
        ("At six.", CHANGED, "stale"),
        ("At six, no, at nine.", CHANGED, "mixed"),
        ("At six.", make(gold=("nine",), forbidden=("six",)), "mixed"),
        ("I don't know, six?", CHANGED, "stale"),
        ("Monday at 3:20", VET, "correct"),
        ("at twenty past three on Monday", VET, "correct"),
        ("Monday at 3:25", VET, "wrong"),
        ("3:20", VET, "wrong"),
        ("Ola is older than Ewa.", OLDER, "correct"),
        ("Ewa is younger than Ola.", OLDER, "mixed"),
        ("You have not told me that.", NEVER, "correct"),
        ("Nie wspominałaś o tym.", NEVER, "correct"),
        ("I don't know, green?", NEVER, "mixed"),
        ("Blue.", NEVER, "wrong"),
    ],
)
def test_verdicts(answer, probe, expected):
    assert judge(answer, probe) == expected
    assert judge(unicodedata.normalize("NFD", answer), probe) == expected


def test_words_have_one_form():
    assert normalise("Łódź, O'Neill: 3:20 i 1.234,5!") == ("łódź", "o", "neill", "3:20", "i", "1.234,5")
    assert normalise(unicodedata.normalize("NFD", "ŻÓŁĆ")) == normalise("żółć") == ("żółć",)
    assert normalise("Straße") == normalise("STRASSE")
